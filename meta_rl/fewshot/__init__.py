"""Labelled tasks: the data of the supervised baseline."""
