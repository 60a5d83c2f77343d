"""Task distributions for meta-reinforcement learning: `make(name, split)` and the contract they all keep.

This package needs numpy, gymnasium and mujoco, never torch and never meta_rl.
"""

from envs.api import NonFiniteError, Step, Task, TaskDistribution, TaskVectorEnv
from envs.checks import ConformanceError, check
from envs.fixed import FixedTask
from envs.flat import FlatVectorEnv
from envs.mjcf.distribution import MujocoDistribution
from envs.moments import Moment
from envs.names import UnknownNameError, closest
from envs.own import Origin, is_own
from envs.registry import (
    about,
    check_name,
    families,
    list_names,
    make,
    options,
    origin,
    register,
    register_own,
    stock_benchmark,
    with_expert,
)
from envs.scene import NoDisplayError, Scene, Shape, Solid, Track
from envs.spaces import misfit
from envs.threads import limit_threads
from envs.varied import VariedDynamics
from envs.vector import EnvError, SingleEnv
from envs.visible import UnshowableError, VisibleTask, task_size

__all__ = [
    "ConformanceError",
    "EnvError",
    "FixedTask",
    "FlatVectorEnv",
    "Moment",
    "MujocoDistribution",
    "NoDisplayError",
    "NonFiniteError",
    "Origin",
    "Scene",
    "Shape",
    "SingleEnv",
    "Solid",
    "Step",
    "Task",
    "TaskDistribution",
    "TaskVectorEnv",
    "Track",
    "UnknownNameError",
    "UnshowableError",
    "VariedDynamics",
    "VisibleTask",
    "about",
    "check",
    "check_name",
    "closest",
    "families",
    "is_own",
    "limit_threads",
    "list_names",
    "make",
    "misfit",
    "options",
    "origin",
    "register",
    "register_own",
    "stock_benchmark",
    "task_size",
    "with_expert",
]
