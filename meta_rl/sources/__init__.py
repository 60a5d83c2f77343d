"""Where meta-batches come from."""
