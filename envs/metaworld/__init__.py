"""Meta-World benchmarks as task distributions, and its vector envs on the native engine."""

from envs.metaworld.suites import register_ids, vector_env

__all__ = ["vector_env"]

register_ids()
