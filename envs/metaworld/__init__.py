"""Meta-World benchmarks as task distributions."""
