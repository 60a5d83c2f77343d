"""Meta-World's own evaluator, run as it is, so that our number can stand beside the one others publish.

It is biased upward (docs/evaluation.md), which is why it is never the headline.
"""

from __future__ import annotations

from typing import Any

from meta_rl.agents.agent import Agent, MetaWorldAgent
from meta_rl.config import EvaluateConfig, make_distribution
from meta_rl.errors import ConfigError


class Telling:
    """Meta-World's vector env, whose `step` also tells the agent what followed its actions.

    The evaluator tells an agent rewards and ends of episodes while it adapts, but not while it is judged. RL^2 reads
    both at every step, and would act on inputs it has never seen. Nothing else changes.
    """

    def __init__(self, vector_env: Any, agent: MetaWorldAgent) -> None:
        self._vector_env, self._agent = vector_env, agent

    def step(self, actions: Any) -> tuple[Any, ...]:
        """As the vector env's."""
        observation, reward, terminated, truncated, info = self._vector_env.step(actions)
        self._agent.observe(reward, terminated | truncated)
        return observation, reward, terminated, truncated, info

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vector_env, name)


def stock_evaluation(agent: Agent, protocol: EvaluateConfig, goals_per_family: int) -> dict[str, Any]:
    """`metaworld.evaluation.metalearning_evaluation` on the test split of the agent's ML1, ML10, ML25 or ML45.

    Args:
        goals_per_family: tasks per family, all evaluated at once (its protocol has 40 per family).
    Returns:
        ``success``, ``return`` (means after adaptation), ``success_by_family``, and the protocol.
    Raises:
        ConfigError: not one of Meta-World's own benchmarks.
    """
    import gymnasium as gym
    import metaworld  # noqa: F401  (registers its environments)
    from metaworld.evaluation import metalearning_evaluation

    import envs

    distribution = make_distribution(agent.config, "test")
    fingerprint = distribution.fingerprint()
    if not (benchmark := envs.stock_benchmark(agent.config.env)):
        env = agent.config.env
        raise ConfigError(f"--stock-goals: Meta-World's evaluator knows ML1, ML10, ML25 and ML45, not {env}")
    name, *family = benchmark
    vector_env = gym.make_vec(
        f"Meta-World/{name}-test",
        seed=fingerprint["goal_seed"],
        meta_batch_size=len(distribution.families) * goals_per_family,
        total_tasks_per_cls=goals_per_family,
        max_episode_steps=distribution.horizon,
        reward_function_version=fingerprint["reward_version"],
        **dict(zip(("env_name",), family, strict=False)),  # ML1's
    )
    judged = agent.as_metaworld_agent(agent.config.seed)
    try:
        success, mean_return, by_family = metalearning_evaluation(
            judged,
            Telling(vector_env, judged),
            num_evals=1,
            adaptation_steps=protocol.adaptation_steps,
            adaptation_episodes=protocol.adaptation_episodes,
            evaluation_episodes=protocol.evaluation_episodes,
        )
    finally:
        vector_env.close()
    return {
        "success": float(success),
        "return": float(mean_return),
        "success_by_family": {name: float(value) for name, value in by_family.items()},
        "goals_per_family": goals_per_family,
        "adaptation_episodes": protocol.adaptation_episodes,
        "evaluation_episodes": protocol.evaluation_episodes,
    }
