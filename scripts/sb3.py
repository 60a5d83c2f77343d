"""Stable-Baselines3's PPO on Meta-World's MT1, on Meta-World's own vector env and on ours, with the same seeds.

``python scripts/sb3.py [--env-name reach-v3] [--envs 8] [--env-steps 40960] [--max-episode-steps 500]``

Needs ``pip install stable-baselines3``. Prints the env-steps/s of both, end to end, and whether the returns of all
episodes of training are equal. `adapted` is all that it takes to give a vector env of gymnasium to Stable-Baselines3,
which has an interface of its own.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import gymnasium as gym
import numpy as np


def adapted(vector: Any) -> Any:
    """A gymnasium vector env with same-step autoreset as a `VecEnv` of Stable-Baselines3."""
    from stable_baselines3.common.vec_env import VecEnv

    class Adapted(VecEnv):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            super().__init__(vector.num_envs, vector.single_observation_space, vector.single_action_space)

        def reset(self) -> Any:
            return vector.reset()[0]

        def step_async(self, actions: Any) -> None:
            self._actions = actions

        def step_wait(self) -> Any:
            observation, reward, terminated, truncated, found = vector.step(self._actions)
            infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            for i in np.flatnonzero(terminated | truncated):
                final = found["final_info"]
                infos[i] = {
                    "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                    "terminal_observation": found["final_obs"][i],
                    "episode": {name: final["episode"][name][i].item() for name in ("r", "l", "t")},
                    "is_success": bool(final["success"][i]),
                }
            return observation, reward.astype(np.float32), terminated | truncated, infos

        def close(self) -> None:
            vector.close()

        def get_attr(self, attr_name: str, indices: Any = None) -> Any:
            if attr_name == "render_mode":
                return [None] * self.num_envs
            return [vector.get_attr(attr_name)[i] for i in self._get_indices(indices)]

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            vector.set_attr(attr_name, value)

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
            return [vector.call(method_name, *args, **kwargs)[i] for i in self._get_indices(indices)]

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Any:
            return [False for _ in self._get_indices(indices)]

    return Adapted()


def learn(vector: Any, env_steps: int, epochs: int) -> tuple[list[float], float]:
    """Returns of all episodes of training, and env-steps/s from the first step to the last update."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback

    class Returns(BaseCallback):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.found: list[float] = []

        def _on_step(self) -> bool:
            self.found += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
            return True

    env, returns = adapted(vector), Returns()
    ppo = PPO("MlpPolicy", env, n_steps=512, batch_size=512, n_epochs=epochs, seed=1, device="cpu")
    started = time.perf_counter()
    ppo.learn(env_steps, callback=returns)
    seconds = time.perf_counter() - started
    env.close()
    return returns.found, ppo.num_timesteps / seconds


def main() -> None:
    """Train both ways and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-name", default="reach-v3", help="family (default: %(default)s)")
    parser.add_argument("--envs", type=int, default=8, help="environments (default: %(default)s)")
    parser.add_argument("--env-steps", type=int, default=40_960, help="of training (default: %(default)s)")
    parser.add_argument("--max-episode-steps", type=int, default=500, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=10, help="of PPO (default: %(default)s)")
    options = parser.parse_args()

    import metaworld  # noqa: F401  (registers Meta-World/MT1)

    import envs  # noqa: F401  (registers meta-rl/custom-mt-envs)

    # As many copies of MT1, which Meta-World's own MT1 cuts off before it says how an episode went.
    members = {"envs_list": [options.env_name] * options.envs, "max_episode_steps": options.max_episode_steps}
    members |= {"vector_strategy": "sync", "seed": 1}
    ours, ours_rate = learn(gym.make_vec("meta-rl/custom-mt-envs", **members), options.env_steps, options.epochs)
    theirs, their_rate = learn(gym.make_vec("Meta-World/custom-mt-envs", **members), options.env_steps, options.epochs)
    same = len(ours) == len(theirs) and np.allclose(ours, theirs, 1e-6)
    print(f"ours: {ours_rate:,.0f} env-steps/s; Meta-World's: {their_rate:,.0f} ({ours_rate / their_rate:.1f}x)")
    last = f"the last {ours[-1]:.3f} and {theirs[-1]:.3f}" if ours and theirs else "none ended"
    print(f"returns of {len(ours)} and {len(theirs)} episodes are {'equal' if same else 'different'}: {last}")


if __name__ == "__main__":
    main()
