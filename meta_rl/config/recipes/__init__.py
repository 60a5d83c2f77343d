"""One page per learner: its settings, its recipes, and what differs from the defaults on which tasks."""
