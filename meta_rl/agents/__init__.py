"""A trained agent, outside of training."""
