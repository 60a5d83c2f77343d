"""A `TaskVectorEnv` seen as one of gymnasium's vector environments: its seeds, its options, its ends of episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from envs.whole import whole

if TYPE_CHECKING:
    from envs.api import Bool, Float, TaskVectorEnv

OPTIONS = ("reset_mask",)
"""Keys that `FlatVectorEnv.reset` takes among its options."""


class FlatVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """A `TaskVectorEnv` seen as a gymnasium vector env; number ``i`` is ``[i // envs_per_task, i % envs_per_task]``.

    Episodes end as gymnasium has it. With autoreset disabled, an environment whose episode is over stands still until
    ``reset(options={"reset_mask": bool[num_envs]})``; to step on when all are over is an error.

    Args:
        autoreset: mode of the autoreset, or its name; all three are explained by gymnasium.
    """

    def __init__(self, env: TaskVectorEnv, autoreset: AutoresetMode | str = AutoresetMode.DISABLED) -> None:
        self.env, self.autoreset_mode = env, autoreset_of(autoreset)
        self.metadata = {**env.metadata, "autoreset_mode": self.autoreset_mode}
        self.num_envs = env.num_tasks * env.envs_per_task
        self.single_observation_space, self.single_action_space = env.observation_space, env.action_space
        self.observation_space = gym.vector.utils.batch_space(env.observation_space, self.num_envs)
        self.action_space = gym.vector.utils.batch_space(env.action_space, self.num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float, dict[str, Any]]:
        """As gymnasium.

        Args:
            seed: an int gives task ``i`` the seed ``seed + i``; a list has one for each environment. An episode derives
                from its seed and the place of its environment among those of the task. None, also in a list, goes on
                with the generator of the last seeds.
            options: ``{"reset_mask": bool[num_envs]}``, the environments to reset; default all.
        Raises:
            ValueError: a list of another length, a seed below 0, another option, or a mask of another form.
        """
        mask = self._mask(options)
        seeds = self._seeds(seed, every=mask is None)  # [task, env]
        return self._flatten(self._reset(seeds, mask)), {}

    def step(self, actions: Any) -> tuple[Float, NDArray[np.float64], Bool, Bool, dict[str, Any]]:
        """As gymnasium; ``info["success"]`` is bool ``[num_envs]``, of the environments in ``info["_success"]``.

        Raises:
            RuntimeError: autoreset is disabled, and every episode is over.
            ValueError: actions for another number of environments.
        """
        actions = np.asarray(actions)
        if actions.shape[:1] != (self.num_envs,):
            raise ValueError(f"action must be of {self.num_envs} environments, got shape {actions.shape}")
        over = self._flatten(self.env.over)
        step = self.env.step(actions.reshape(*self.env.shape, *actions.shape[1:]))  # moves nothing that is over
        if self.autoreset_mode == AutoresetMode.DISABLED and over.all():
            raise RuntimeError(
                "every episode is over: call reset, or reset(options={'reset_mask': ...}) for some; flat('next_step') "
                "makes a view that resets by itself"
            )
        observation, reward, terminated, truncated, success = (self._flatten(x) for x in step)
        info: dict[str, Any] = {}
        told = np.ones(self.num_envs, bool)  # environments that say whether they succeeded
        if self.autoreset_mode == AutoresetMode.NEXT_STEP and over.any():
            # Their action does not count: they were frozen, and begin their next episode now.
            observation = self._flatten(self._reset(self._seeds(None), over))
            terminated, truncated, told = terminated & ~over, truncated & ~over, ~over
        ended = terminated | truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            for i in np.flatnonzero(ended):
                final = {"final_obs": observation[i].copy(), "final_info": {"success": bool(success[i])}}
                info = self._add_info(info, final, int(i))
            told = ~ended
            observation = self._flatten(self._reset(self._seeds(None), ended))
        return observation, reward, terminated, truncated, info | {"success": success & told, "_success": told}

    def close_extras(self, **_: Any) -> None:
        """Close the environments behind the view."""
        self.env.close()

    def _reset(self, seeds: NDArray[Any], mask: Bool | None) -> Float:
        """Reset the environments in `mask` (all of them: None) to `seeds` ``[task, env]``; observations
        ``[task, env, ...]``.

        A task has one seed at a time. So the environments of a task that share the seed of its first one begin
        together, and the others after them.
        """
        shape = self.env.shape
        wanted = np.ones(shape, bool) if mask is None else mask.reshape(shape)
        column = wanted.argmax(1) if mask is not None else np.zeros(shape[0], int)  # the first one of each task
        first = np.take_along_axis(seeds, column[:, None], 1)[:, 0]  # [task]
        alike = wanted & (seeds == first[:, None])
        # The first reset after set_tasks has to be of all; those that differ are reset again.
        observation = self.env.reset(first.tolist(), None if mask is None else alike)
        for env in np.flatnonzero((wanted & ~alike).any(0)):
            part = np.zeros(shape, bool)
            part[:, env] = (wanted & ~alike)[:, env]
            observation = self.env.reset(seeds[:, env].tolist(), part)
        return observation

    def _seeds(self, seed: int | Sequence[int | None] | None, every: bool = False) -> NDArray[Any]:
        """Seeds ``[task, env]``, Python ints of any size; if they are of every environment, the generator's too."""
        tasks, envs_per_task = self.env.shape
        if seed is None:
            rows: list[int] = self.np_random.integers(2**31, size=tasks).tolist()  # type: ignore[has-type]
            return np.repeat(np.array(rows, object)[:, None], envs_per_task, 1)
        if not isinstance(seed, (Sequence, np.ndarray)):
            number = whole("seed:", seed, 0)
            self._np_random, self._np_random_seed = gym.utils.seeding.np_random(number)
            rows = [number + task for task in range(tasks)]
            return np.repeat(np.array(rows, object)[:, None], envs_per_task, 1)
        if len(seed) != self.num_envs:
            raise ValueError(f"seed: a list must have one for each of {self.num_envs} environments, got {len(seed)}")
        given = [None if one is None else whole("seed:", one, 0) for one in seed]
        numbers = [one for one in given if one is not None]
        if every and len(numbers) == len(given):
            self.np_random = np.random.default_rng(numbers)
        found = [int(self.np_random.integers(2**31)) if one is None else one for one in given]
        return np.array(found, object).reshape(tasks, envs_per_task)

    def _mask(self, options: dict[str, Any] | None) -> Bool | None:
        """The mask among `options`, if there is one."""
        for name in options or {}:
            if name not in OPTIONS:
                raise ValueError(f"options: unknown {name!r}; valid: {', '.join(OPTIONS)}")
        if not options:
            return None
        mask = np.asarray(options["reset_mask"])
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"options: reset_mask must be bool ({self.num_envs},), got {mask.dtype} {mask.shape}")
        if not mask.any():
            raise ValueError("options: reset_mask has no environment to reset")
        return None if mask.all() else mask

    def _flatten(self, x: Any) -> Any:
        return x.reshape(self.num_envs, *x.shape[2:])


def autoreset_of(autoreset: AutoresetMode | str) -> AutoresetMode:
    """The mode of a name: gymnasium's value (``"NextStep"``), or that of the constant in any case (``"next_step"``)."""
    known = {mode.value: mode for mode in AutoresetMode} | {mode.name.lower(): mode for mode in AutoresetMode}
    if isinstance(autoreset, AutoresetMode):
        return autoreset
    mode = known.get(autoreset) or known.get(str(autoreset).lower())
    if mode is None:
        names = ", ".join(mode.name.lower() for mode in AutoresetMode)
        raise ValueError(f"autoreset: unknown mode {autoreset!r}; valid: {names}")
    return mode
