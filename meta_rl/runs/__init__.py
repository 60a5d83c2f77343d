"""A run and its folder: checkpoints, logs, what is learned from."""
