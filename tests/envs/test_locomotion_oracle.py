"""Every locomotion family beside Gymnasium's own v5 environment: states bit-equal, rewards recomputed outside.

Gymnasium's environment is driven with the same float32 actions, and everything the reward needs is read from its
mjData, in plain Python, one environment at a time.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest

import envs
from envs.api import Task
from envs.locomotion.presets import FAMILIES, PRESETS, Preset
from envs.locomotion.robots import PARAMETERS
from envs.mjcf.engine import MujocoVectorEnv

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
SCRATCH = 4 << 20  # physics::Scratch::kBytes
QUICK = [
    "cheetah-vel@promp",
    "ant-dir@promp2d",
    "ant-goal@pearl",
    "humanoid-dir@v5",
    "walker-params@v5",
    "hopper-params@v5",
]


def gym_env(preset: Preset) -> Any:
    """Gymnasium's own environment, unwrapped, with the preset's range of healthy heights; its reward is not used."""
    options: dict[str, Any] = {"exclude_current_positions_from_observation": False} if preset.shared.place else {}
    if preset.height:
        options["healthy_z_range"] = preset.height
    return gym.make(preset.body.gym_id, **options).unwrapped


def edit_by_hand(model: mujoco.MjModel, factors: tuple[float, ...]) -> None:
    """Scale masses, inertia, damping and friction of a Gymnasium environment's model, in place."""
    done = 0
    for name in PARAMETERS:
        array = getattr(model, name)
        array[:] = array * np.array(factors[done : done + array.size]).reshape(array.shape)
        done += array.size
    assert done == len(factors)


def place(env: Any, robot: str) -> list[float]:
    """Where v5's reward sees the robot."""
    if robot == "ant":
        return env.data.body("torso").xpos[:2].tolist()
    if robot == "humanoid":
        total = sum(env.model.body_mass)
        return [sum(m * x[i] for m, x in zip(env.model.body_mass, env.data.xipos, strict=True)) / total for i in (0, 1)]
    return [float(env.data.qpos[0])]


def reward_outside(preset: Preset, env: Any, before: list[float], action: Any, task: Task) -> float:
    """The reward of the paper's formula, term by term."""
    after = place(env, preset.shared.robot)
    velocity = [(b - a) / env.dt for a, b in zip(before, after, strict=True)]
    progress = {
        "along": lambda: sum(v * g for v, g in zip(velocity, task.vector, strict=True)),
        "at-speed": lambda: -abs(velocity[0] - task.vector[0]),
        "near": lambda: -sum(abs(p - g) for p, g in zip(after, task.vector, strict=True)),
        "forward": lambda: velocity[0],
    }[preset.shared.progress]()
    reward = preset.shared.weight * progress - preset.ctrl * sum(float(a) ** 2 for a in action)
    if preset.contact:
        limit = {"ant": 1.0, "humanoid": np.inf}[preset.shared.robot]
        squares = sum(min(max(f, -limit), limit) ** 2 for f in env.data.cfrc_ext.ravel().tolist())
        reward -= min(preset.contact * squares, {"ant": np.inf, "humanoid": 10.0}[preset.shared.robot])
    return float(reward + preset.alive * env.is_healthy) if preset.alive else float(reward)


def compare(name: str, steps: int, num_envs: int = 2) -> None:
    """Drive both with the same random actions, restarting both wherever Gymnasium's robot falls."""
    preset = PRESETS[name]
    distribution = envs.make(name, horizon=steps, num_threads=2)
    tasks = distribution.sample(np.random.default_rng(3), 2)
    theirs = [[gym_env(preset) for _ in range(num_envs)] for _ in tasks]
    if preset.targets == "scales":
        for task, row in zip(tasks, theirs, strict=True):
            for env in row:
                edit_by_hand(env.model, task.vector)
    rng = np.random.default_rng(4)
    limit = preset.body.max_action
    falls = 0
    with distribution.make(2, num_envs) as ours:
        assert isinstance(ours, MujocoVectorEnv)
        ours.set_tasks(tasks)
        mask, episode = np.ones(ours.shape, bool), 0
        observation = ours.reset([7, 8], mask)
        start(theirs, observation, mask, [7, 8])
        for step in range(steps):
            action = rng.uniform(-limit, limit, (*ours.shape, preset.body.num_actions)).astype(np.float32)
            result = ours.step(action)
            for t, e in np.ndindex(ours.shape):
                env, where = theirs[t][e], f"{name} env [{t}, {e}] step {step}"
                before = place(env, preset.shared.robot)
                seen, _, fallen, _, _ = env.step(action[t, e])
                state = np.empty(mujoco.mj_stateSize(env.model, STATE))
                mujoco.mj_getState(env.model, env.data, state, STATE)
                np.testing.assert_array_equal(ours.state(t, e), state, where)
                np.testing.assert_array_equal(result.observation[t, e], seen, where)
                expected = reward_outside(preset, env, before, action[t, e], tasks[t])
                assert result.reward[t, e] == pytest.approx(expected, rel=0, abs=1e-10), where
                if preset.height:
                    assert result.terminated[t, e] == fallen, where
                assert env.data.maxuse_arena < SCRATCH / 2, where
            mask = result.terminated
            if mask.any():
                falls, episode = falls + int(mask.sum()), episode + 1
                seeds = [7 + 100 * episode, 8 + 100 * episode]
                start(theirs, ours.reset(seeds, mask), mask, seeds)
    if preset.shared.robot in ("walker2d", "hopper", "humanoid"):
        assert falls > 0  # restarts have been tried
    for row in theirs:
        for env in row:
            env.close()


def start(theirs: list[list[Any]], observation: Any, mask: Any, seeds: list[int]) -> None:
    """Reset Gymnasium's environments in `mask` with the seeds that the contract derives; they must start as ours."""
    for t, e in np.argwhere(mask):
        seen, _ = theirs[t][e].reset(seed=int(np.random.SeedSequence([seeds[t], e]).generate_state(1)[0]))
        np.testing.assert_array_equal(observation[t, e], seen)


def test_the_quick_ones_cover_all_robots() -> None:
    assert {PRESETS[name].shared.robot for name in QUICK} == {family.robot for family in FAMILIES.values()}


@pytest.mark.parametrize("name", QUICK)
def test_equals_gymnasium(name: str) -> None:
    compare(name, steps=120, num_envs=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_equals_gymnasium_for_1000_steps(name: str) -> None:
    compare(name, steps=1000)
