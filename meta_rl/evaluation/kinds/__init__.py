"""The kinds of learners, and how each is judged: those that act, and those that answer from labelled examples."""
