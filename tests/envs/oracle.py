"""The slow obvious twin of the engine: Meta-World's own `SawyerXYZEnv.step`, recorded."""

from __future__ import annotations

from typing import Any, NamedTuple

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP
from numpy.typing import NDArray

from envs.api import Task
from envs.metaworld.benchmarks import to_metaworld
from envs.metaworld.engine import INFO_NAMES
from envs.metaworld.snapshots import STATE

ACTIONS = ("random", "expert", "expert with noise")


class Episode(NamedTuple):
    """One recorded episode; `reset_*` before the first step, the rest [step, ...]."""

    task: Task
    name: str
    reset_observation: NDArray[np.float64]
    reset_state: NDArray[np.float64]
    action: NDArray[np.float32]
    observation: NDArray[np.float64]
    state: NDArray[np.float64]
    reward: NDArray[np.float64]
    info: NDArray[np.float64]


def draw_tasks(family: str, count: int, seed: int) -> list[Task]:
    """Goals as Meta-World's benchmarks draw them: by resets of an env whose goal is not frozen."""
    env = ALL_V3_ENVIRONMENTS[family]()
    env._freeze_rand_vec, env._set_task_called = False, True
    before = np.random.get_state()  # noqa: NPY002  (metaworld draws from numpy's global generator)
    np.random.seed(seed)  # noqa: NPY002
    tasks = []
    for _ in range(count):
        env.reset()
        tasks.append(Task(family, tuple(env._last_rand_vec)))
    np.random.set_state(before)  # noqa: NPY002
    return tasks


def record(family: str, tasks: list[Task], steps: int, goal_visible: bool, seed: int) -> list[Episode]:
    """One episode per task and kind of action. Actions are float32, up to 1.5 so that clipping is met."""
    env, rng = ALL_V3_ENVIRONMENTS[family](), np.random.default_rng(seed)
    return [_episode(env, task, kind, steps, goal_visible, rng) for task in tasks for kind in ACTIONS]


def _episode(env: Any, task: Task, kind: str, steps: int, goal_visible: bool, rng: np.random.Generator) -> Episode:
    env.set_task(to_metaworld(task, goal_visible))
    policy = ENV_POLICY_MAP[task.family]()
    observation, _ = env.reset()
    reset_observation, reset_state = observation.copy(), _state(env)
    rows = []
    for _ in range(steps):
        action = _action(kind, env, policy, observation, rng)
        observation, reward, _, _, info = env.step(action)
        assert set(info) == set(INFO_NAMES)
        rows.append((action, observation.copy(), _state(env), float(reward), [float(info[k]) for k in INFO_NAMES]))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Episode(task, kind, reset_observation, reset_state, *columns)


def _action(
    kind: str, env: Any, policy: Any, observation: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.float32]:
    if kind == "random":
        return rng.uniform(-1.5, 1.5, 4).astype(np.float32)
    # The scripted experts read the goal, whether or not the observation shows it.
    seen = np.concatenate([observation[:-3], env._target_pos])
    action = np.asarray(policy.get_action(seen), dtype=np.float64)
    if kind == "expert with noise":
        action = action + 0.3 * rng.standard_normal(4)
    return np.clip(action, -1.5, 1.5).astype(np.float32)


def _state(env: Any) -> NDArray[np.float64]:
    state = np.empty(mujoco.mj_stateSize(env.model, STATE))
    mujoco.mj_getState(env.model, env.data, state, STATE)
    return state
