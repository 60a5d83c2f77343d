"""Gymnasium's robots on the native engine (`envs.mjcf`), with the rewards of one preset.

Bit-exact with Gymnasium's v5 environments, start states included: environment ``(seed, env)`` starts as v5 does after
``reset(seed=SeedSequence([seed, env]).generate_state(1)[0])``. Like v5, it leaves a simulation that blows up to MuJoCo,
which puts it back at its initial pose.
"""

from __future__ import annotations

import functools

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs import dynamics as dyn
from envs.api import Task, TaskVectorEnv
from envs.locomotion.presets import PROGRESS, Preset, spaces
from envs.locomotion.robots import PARAMETERS, ROBOTS, Double, model_path
from envs.mjcf.arrays import Arrays
from envs.mjcf.engine import MujocoVectorEnv, Rules
from envs.mjcf.model import Model, make_model


@functools.cache
def load(name: str, parameters: tuple[str, ...]) -> Model:
    """The model of a robot, loaded once per process.

    Args:
        name: a key of `robots.ROBOTS`.
        parameters: arrays of mjModel that environments may have of their own.
    Raises:
        RuntimeError: the installed Gymnasium has another model than `robots` describes.
    """
    robot = ROBOTS[name]
    model = mujoco.MjModel.from_xml_path(model_path(robot))
    sizes = (model.nq, model.nv, model.nu) == (robot.num_qpos, robot.num_qvel, robot.num_actions)
    if not sizes or not np.allclose(model.actuator_ctrlrange, [-robot.max_action, robot.max_action]):
        raise RuntimeError(f"{robot.xml} of the installed gymnasium is not the model that envs.locomotion was made for")
    return make_model(model, robot.frame_skip, robot.features, parameters, up_to_date=False)


@functools.cache
def rules(preset: Preset) -> Rules:
    """What a step of a preset's robot is worth, and when it has fallen. There is no success."""
    robot, factors = preset.body, preset.targets == "scales"
    model = load(preset.shared.robot, PARAMETERS if factors else ())
    mass = model.mujoco.body_mass.copy()

    def place(arrays: Arrays) -> Double:
        return robot.position(arrays.flat, mass)

    def is_healthy(arrays: Arrays) -> NDArray[np.bool_]:
        return robot.is_healthy(arrays.flat, preset.height) if preset.height else np.ones(len(arrays.action), bool)

    def reward(arrays: Arrays) -> Double:
        now = place(arrays)
        velocity = (now - place(arrays.before)) / arrays.seconds
        total = preset.shared.weight * PROGRESS[preset.shared.progress](velocity, now, arrays.task)
        if preset.ctrl:
            total = total - preset.ctrl * np.square(arrays.action).sum(1)
        if preset.contact:
            total = total - robot.contact_cost(arrays.flat, preset.contact)
        return np.asarray(total + preset.alive * is_healthy(arrays))

    return Rules(
        preset.name,
        lambda arrays: robot.observe(arrays.flat, preset.shared.place),
        reward,
        functools.partial(check, preset),
        terminated=(lambda arrays: ~is_healthy(arrays)) if preset.height else None,
        start=lambda rng, task, qpos, qvel: robot.draw_start(rng, qpos, qvel),
        parameters=(lambda vector: model.values * vector) if factors else None,
    )


def check(preset: Preset, task: Task) -> None:
    """Refuse a task that is not one of the preset's."""
    family, size = preset.family, preset.task_dim
    if task.family != family or len(task.vector) != size or not np.isfinite(task.vector).all():
        raise ValueError(f"not a task of {preset.name} ({family!r} and {size} numbers): {task.to_json()}")
    if preset.targets == "scales" and min(task.vector) <= 0:
        raise ValueError(f"{preset.name}: factors on masses and the like must be above 0: {task.to_json()}")


def make(
    num_tasks: int,
    envs_per_task: int,
    preset: Preset,
    horizon: int,
    *,
    dynamics: bool = False,
    num_threads: int | None = None,
) -> TaskVectorEnv:
    """Robots ``[task, env]`` with the tasks of one preset; see `MujocoVectorEnv`."""
    parameters = (*(PARAMETERS if preset.targets == "scales" else ()), *(dyn.ARRAYS if dynamics else ()))
    model = load(preset.shared.robot, tuple(dict.fromkeys(parameters)))
    return MujocoVectorEnv(
        num_tasks,
        envs_per_task,
        model,
        rules(preset),
        spaces(preset),
        horizon,
        dynamics=dynamics,
        num_threads=num_threads,
    )
