"""Sources of meta-batches: sampling here, in worker processes, or on Ray."""
