"""A MuJoCo model in the native engine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import mujoco  # first: the engine needs its library
import numpy as np
from numpy.typing import NDArray

from envs.mjcf import _engine
from envs.vector import EnvError

Double = NDArray[np.float64]
Engine = _engine.Engine


class Model(NamedTuple):
    """A model in the engine, and what of it is needed outside."""

    native: _engine.Robot
    mujoco: mujoco.MjModel
    values: Double
    """The model's own numbers in the arrays that environments may have of their own, one array after the other."""
    qpos: Double
    """The initial pose."""
    qvel: Double
    seconds: float
    """Seconds of an env step."""


def read_model(name: str, source: str) -> mujoco.MjModel:
    """The model of an MJCF file, or of its text.

    Raises:
        EnvError: it cannot be read; the message is one line.
    """
    text = source.lstrip().startswith("<")
    if not text and not Path(source).is_file():
        raise EnvError(f"{name}: there is no file {source}")
    try:
        return mujoco.MjModel.from_xml_string(source) if text else mujoco.MjModel.from_xml_path(source)
    except ValueError as error:
        place = "the MJCF text" if text else source
        raise EnvError(f"{name}: {place}: {' '.join(str(error).split())}") from error


def find(what: str, model: mujoco.MjModel, kind: str, name: str) -> Any:
    """The body, camera or other `kind` of the model that is called `name`; `what` begins the error.

    Raises:
        EnvError: there is none; with those that there are.
    """
    try:
        return getattr(model, kind)(name)
    except KeyError as error:
        raise EnvError(f"{what}: {' '.join(str(error.args[0]).split())}") from error


def make_model(
    model: mujoco.MjModel,
    frame_skip: int,
    reads: Iterable[str],
    parameters: Iterable[str] = (),
    *,
    up_to_date: bool = True,
) -> Model:
    """`model` in the engine.

    Args:
        frame_skip: physics steps per env step.
        reads: arrays of mjData that are read after a step, keys of `arrays.COMPONENTS`.
        parameters: arrays of mjModel that environments may have of their own.
        up_to_date: places of bodies, geoms and sites are those of the state; otherwise they lag one physics step
            behind, as Gymnasium's robots have them.
    """
    native = _engine.make_robot(model, frame_skip, list(reads), list(dict.fromkeys(parameters)), up_to_date)
    data = mujoco.MjData(model)
    seconds = model.opt.timestep * frame_skip
    return Model(native, model, np.array(native.values), data.qpos.copy(), data.qvel.copy(), seconds)
