"""Environments of others, the check and training side by side: what training would refuse or misread, the check says in
a sentence; what it takes, training takes too."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

import envs
from envs import registry
from envs.navigation import Navigation
from envs.vector import GymDistribution
from meta_rl.algorithms.base import make_learner
from meta_rl.config import MamlConfig, NetworkConfig, default_config
from meta_rl.errors import ConfigError
from meta_rl.sources.base import Plan
from meta_rl.sources.collect import Shard
from meta_rl.sources.in_process import InProcess
from meta_rl.training.train import train

HORIZON = 10


class Base(gym.Env[Any, Any]):
    """A point that is pushed; the task is a place to be at."""

    def __init__(self) -> None:
        self.observation_space: Any = Box(-10, 10, (2,), np.float32)
        self.action_space: Any = Box(-1, 1, (1,), np.float32)
        self.goal = 0.5

    def set_task(self, vector: Any) -> None:
        self.goal = float(vector[0])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1, 1, 2)
        return self.look(), {}

    def step(self, action: Any) -> Any:
        self.x = self.x + 0.1 * float(np.clip(np.mean(action), -1, 1))
        return self.look(), self.reward(), False, False, {"success": abs(self.x[0] - self.goal) < 0.1}

    def reward(self) -> Any:
        return -abs(self.x[0] - self.goal)

    def look(self) -> Any:
        return self.x.astype(np.float32)


def step(change: Callable[..., Any]) -> type[Base]:
    """`Base` whose `step` returns what `change` makes of its five values."""
    return type("Changed", (Base,), {"step": lambda self, action: change(*Base.step(self, action))})


def reset(change: Callable[..., Any]) -> type[Base]:
    """`Base` whose `reset` returns what `change` makes of its two values."""
    return type("Changed", (Base,), {"reset": lambda self, **given: change(*Base.reset(self, **given))})


def look(change: Callable[[Any], Any]) -> type[Base]:
    """`Base` whose observations are what `change` makes of its place."""
    return type("Changed", (Base,), {"look": lambda self: change(self.x)})


def tell(set_task: Callable[..., Any]) -> type[Base]:
    """`Base` with another `set_task`."""
    return type("Changed", (Base,), {"set_task": set_task})


def earn(change: Callable[[float], Any]) -> type[Base]:
    """`Base` with other rewards."""
    return type("Changed", (Base,), {"reward": lambda self: change(Base.reward(self))})


def succeed(**info: Any) -> type[Base]:
    """`Base` whose info is `info`."""
    return step(lambda o, r, te, tr, i: (o, r, te, tr, info))


def observe(space: Any) -> type[Base]:
    """`Base` that declares other observations, and gives them."""

    def init(self: Base) -> None:
        Base.__init__(self)
        self.observation_space = space

    def draw(self: Base) -> Any:
        self.observation_space.seed(int(1e6 * (1 + abs(self.x[0]))))  # what is seen is where it is, in other words
        return self.observation_space.sample()

    return type("Changed", (Base,), {"__init__": init, "look": draw})


def act(space: Any) -> type[Base]:
    """`Base` that takes other actions."""

    def init(self: Base) -> None:
        Base.__init__(self)
        self.action_space = space

    return type("Changed", (Base,), {"__init__": init})


class Deaf(Base):
    set_task: Any = property()  # hides it, as if the class had none


class Bounded(Base):
    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        return super().step(action)


class Rooted(Base):
    """A reward that is NaN beyond the bounds, as a root or a logarithm is."""

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward + (0 if abs(action[0]) <= 1 else np.nan), *rest


class Table(Base):
    """Looks its action up: an index of its own beyond the bounds."""

    def step(self, action: Any) -> Any:
        [0, 1, 2][int(action[0] * 1.5) + 1]
        return super().step(action)


class Unseeded(Base):
    def reset(self, **given: Any) -> Any:
        super().reset(**given)
        self.x = np.random.default_rng().uniform(-1, 1, 2)
        return self.look(), {}


class Restless(Base):
    """Another goal at every reset."""

    def reset(self, **given: Any) -> Any:
        self.goal += 0.1
        return super().reset(**given)


class Growing(Base):
    """A task that changes the length of the observation."""

    def look(self) -> Any:
        return np.zeros(2 if self.goal < 0.4 else 3, np.float32)


class Failing(Base):
    def reset(self, **given: Any) -> Any:
        raise AssertionError


class Simulator(Base):
    """Keeps its seed in 31 bits."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        struct.pack("i", seed)
        return super().reset(seed=seed)


class Log(Base):
    """Has a `state` of its own that grows, and none before its first reset."""

    def reset(self, **given: Any) -> Any:
        self.state: list[float] = []
        return super().reset(**given)

    def look(self) -> Any:
        self.state.append(0.0)
        return super().look()


class Asking(Base):
    """Reads its task from the options of `reset`."""

    set_task: Any = property()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        assert options is not None
        self.goal = float(options["task"][0])
        return super().reset(seed=seed)


SHARED = Base()
"""One object for all, where each should have its own."""


class Row(NamedTuple):
    """An environment, and what is said of it.

    Attributes:
        make: makes it.
        check: what the check says; None: nothing.
        training: what training says; None: it takes it, and reads it right only if the check says nothing.
        given: of `GymDistribution`.
    """

    make: Callable[[], Any]
    check: str | None
    training: str | None = None
    given: dict[str, Any] = {}  # noqa: RUF012


def both(make: Callable[[], Any], sentence: str, **given: Any) -> Row:
    """Check and training say the same."""
    return Row(make, sentence, sentence, given)


def misread(make: Callable[[], Any], sentence: str, **given: Any) -> Row:
    """Training would go on with numbers that mean something else."""
    return Row(make, sentence, None, given)


def fine(make: Callable[[], Any], **given: Any) -> Row:
    """Both take it."""
    return Row(make, None, None, given)


PLACE = r"env \[0, 0\], task {\"family\": \"mine\", \"vector\": \[0\.\d+\]}, "
ROWS = {
    # what reset and step return
    "the old reset": both(reset(lambda o, i: o), PLACE + "reset: returned an array .*API of gym before 0.26"),
    "reset of three": both(reset(lambda o, i: (o, i, 0)), "reset: returned 3 values; gymnasium's reset returns 2"),
    "an old reset of two": both(reset(lambda o, i: (0.5, 0.5)), r"reset: info is 0.5 \(float\)"),
    "reset of None": both(reset(lambda o, i: None), "reset: returned None, not"),
    "the old step": both(
        step(lambda o, r, te, tr, i: (o, r, te, i)), PLACE + "step 0: returned 4 values; .* returns 5"
    ),
    "step of an array": both(step(lambda o, *_: o), "step 0: returned an array of shape"),
    "no info": both(step(lambda o, r, te, tr, i: (o, r, te, tr, None)), PLACE + "step 0: info is None"),
    "info and flag swapped": both(step(lambda o, r, te, tr, i: (o, r, te, i, tr)), "step 0: info is False"),
    "flag in words": both(
        step(lambda o, r, te, tr, i: (o, r, "no", tr, i)), r"terminated is 'no' \(str\); valid: bool"
    ),
    "no flag": both(step(lambda o, r, te, tr, i: (o, r, te, None, i)), "truncated is None"),
    # observations
    "too short": both(
        look(lambda x: x[:1]), PLACE + r"reset: the observation has shape \(1,\), its space says float32"
    ),
    "too long": both(look(lambda x: np.zeros(3)), r"has shape \(3,\)"),
    "a number": both(look(lambda x: 0.5), r"has shape \(\)"),
    "a column": both(look(lambda x: x[:, None]), r"has shape \(2, 1\)"),
    "words": both(look(lambda x: ["1", "2"]), "which holds no numbers"),
    "objects": both(look(lambda x: [None, x[0]]), "which holds no numbers"),
    "a dictionary": both(look(lambda x: {"x": x}), "which holds no numbers"),
    "ragged": both(look(lambda x: [[1.0], [1.0, 2.0]]), "is a ragged list"),
    "a length that depends on the task": both(Growing, r"has shape \(3,\)"),
    "halves in whole numbers": both(
        type("Halves", (observe(Box(-9, 9, (2,), np.int64)),), {"look": lambda self: self.x}), "which int64 cannot hold"
    ),
    "below zero in unsigned": both(
        type("Below", (observe(Box(0, 255, (2,), np.uint8)),), {"look": lambda self: np.array([-1, 0])}),
        r"holds -1 \(int64\), which uint8 cannot hold",
    ),
    "integers beyond float32": both(look(lambda x: np.array([2**24 + 1, 0])), "holds 16777217 .* float32 cannot hold"),
    "NaN": Row(look(lambda x: x * np.nan), "observation holds NaN or infinity", "non-finite observation or reward"),
    "floats beyond float32": Row(look(lambda x: x + 1e300), "observation holds NaN or inf", "non-finite observation"),
    # rewards
    "two rewards": both(earn(lambda r: np.array([r, r])), r"step 0: the reward has shape \(2,\); valid: one number"),
    "a reward in words": both(earn(str), r"the reward is '-.* \(str\)"),
    "a complex reward": both(earn(complex), r"the reward is .* \(complex\)"),
    "no reward": both(earn(lambda r: None), "the reward is None"),
    "an infinite reward": Row(
        earn(lambda r: -np.inf), "reward holds NaN or infinity", "non-finite observation or reward"
    ),
    # tasks
    "reset_task": misread(
        type("Pearl", (Deaf,), {"reset_task": Base.set_task}), "pairs of tasks gave the same episodes"
    ),
    "setTask": misread(type("Camel", (Deaf,), {"setTask": Base.set_task}), "does not use its task"),
    "no way to be told": misread(Deaf, r"no set_task, and reset reads no options\['task'\]"),
    "set_task to no effect": misread(tell(lambda self, vector: None), "does not use its task"),
    "a task by name": both(tell(lambda self, v: v["goal"]), PLACE + r"set_task\(array of 1\): IndexError"),
    "a silent assertion in set_task": both(tell(lambda self, v: [][0]), "set_task.* IndexError: list index"),
    "set_task of nothing": both(tell(lambda self: None), "set_task.* TypeError: .*positional argument"),
    "a task that is a number": both(
        Base, "sample_vector gave 0.5; valid: a list of finite numbers", draw=lambda rng: 0.5
    ),
    "a task in words": both(Base, "sample_vector gave 'left'", draw=lambda rng: "left"),
    "a task of rows": both(Base, "sample_vector gave", draw=lambda rng: rng.random((2, 2))),
    "a task of its own at every reset": misread(Restless, "a second reset changed the task"),
    "unseeded": misread(Unseeded, "unseeded noise"),
    "one object for all": misread(lambda: SHARED, "episode"),
    # success
    "is_success": misread(succeed(is_success=True), r"keys seen: 'is_success' \(success_key='is_success'\?"),
    "solved and more": misread(succeed(steps=1, solved=True), "keys seen: 'steps', 'solved'"),
    "no success": misread(succeed(), "info was empty; success_key=None"),
    "success in words": both(succeed(success="no"), r"info\['success'\] is 'no' \(str\); valid: booleans, 0 and 1"),
    "a share of success": both(succeed(success=0.7), r"info\['success'\] is 0.7 \(float\)"),
    "NaN for a success": both(succeed(success=np.float64("nan")), r"info\['success'\] is np.float64\(nan\)"),
    # actions and spaces
    "asserts its bounds": both(
        Bounded, r"AssertionError.*its action \[.*\] is outside its bounds.*ClipAction.*Rescale"
    ),
    "an index of the action": both(Table, r"IndexError.*its action \[.*\] is outside its bounds.*ClipAction"),
    "NaN beyond its bounds": Row(
        Rooted, r"outside its bounds, \[3.0\], gave NaN or infinity.*ClipAction", "non-finite"
    ),
    "images": both(observe(Box(0, 255, (4, 4, 3), np.uint8)), r"flat, \(n,\), got a Box of shape .*FlattenObservation"),
    "a matrix": both(observe(Box(0, 1, (2, 2))), "FlattenObservation"),
    "a dictionary of observations": both(observe(Dict({"x": Box(0, 1, (2,))})), "must be a Box, .*FlattenObservation"),
    "a tuple of observations": both(observe(Tuple([Box(0, 1, (2,)), Discrete(2)])), "must be a Box, .*FlattenObserv"),
    "discrete observations": both(observe(Discrete(4)), "must be a Box, .*FlattenObservation"),
    "several discrete observations": both(observe(MultiDiscrete([2, 3])), "must be a Box, .*FlattenObservation"),
    "text": both(observe(Text(5)), "must be a Box, got"),
    "an action without axes": both(
        act(Box(-1, 1, ())), r"action_space must be flat, \(n,\), got .*\(\).*TransformAction"
    ),
    "a matrix of actions": both(act(Box(-1, 1, (2, 3))), r"action_space must be flat.*reshape\(\(2, 3\)\)"),
    "several discrete actions": both(
        act(MultiDiscrete([2, 3])), "action_space must be a Box or Discrete.*TransformAction"
    ),
    "binary actions": both(act(MultiBinary(3)), "action_space must be a Box or Discrete"),
    "a dictionary of actions": both(act(Dict({"x": Box(-1, 1, (1,))})), "action_space must be a Box or Discrete"),
    # errors of its own
    "fails at reset": both(Failing, PLACE + "reset: AssertionError without a message"),
    "no environment": both(lambda: object(), "make_env must return a gymnasium.Env, got object"),
    # what both take
    "plain": fine(Base),
    "its task in options": fine(Asking),
    "no goal": fine(succeed(), success_key=None),
    "a success of its own name": fine(succeed(is_success=True), success_key="is_success"),
    "a success of 0 or 1": fine(succeed(success=np.float32(1))),
    "a success in an array": fine(succeed(success=np.array([True]))),
    "a reward in an array": fine(earn(lambda r: np.array([r]))),
    "a whole reward": fine(earn(round)),
    "float64 for float32": fine(look(lambda x: x)),
    "a list": fine(look(lambda x: x.tolist())),
    "whole numbers": fine(look(lambda x: np.round(10 * x).astype(np.int64))),
    "truth values": fine(look(lambda x: x > 0)),
    "flags of numpy": fine(step(lambda o, r, te, tr, i: (o, r, np.bool_(te), np.array([0]), i))),
    "seeds of 31 bits": fine(Simulator),
    "a state that grows": fine(Log),
    "arms from 1": fine(act(Discrete(3, start=1))),
    "clipped": fine(lambda: gym.wrappers.ClipAction(Bounded())),
    "clipped and rescaled": fine(
        lambda: gym.wrappers.ClipAction(gym.wrappers.RescaleAction(Bounded(), np.float32(-2), np.float32(2)))
    ),
    "flattened images": fine(lambda: gym.wrappers.FlattenObservation(observe(Box(0, 255, (2, 2), np.uint8))())),
    "a flattened dictionary": fine(lambda: gym.wrappers.FlattenObservation(observe(Dict({"x": Box(0, 1, (2,))}))())),
    "transformed actions": fine(
        lambda: gym.wrappers.TransformAction(act(Box(-1, 1, (2, 3)))(), lambda a: a.reshape((2, 3)), Box(-1, 1, (6,)))
    ),
}


def distribution(row: Row) -> GymDistribution:
    """The tasks of a row."""
    given = {"draw": lambda rng: rng.random(1), **row.given}
    return GymDistribution("mine", row.make, given.pop("draw"), HORIZON, **given)


def sample(made: GymDistribution) -> Shard:
    """What one iteration learns from; and an update, of the samples as they come."""
    config = replace(default_config("maml-trpo", "navigation"), network=NetworkConfig(hidden=(4,)), seed=1)
    assert isinstance(config.algorithm, MamlConfig)
    learner = make_learner(config, made)
    state = learner.init()
    with closing(InProcess(made, learner, Plan(3, 4, seed=1))) as source:
        shard = source.sample(state.weights, 0)
    learner.meta_update(state, shard.batch)
    assert all(bool(value.isfinite().all()) for value in state.params.values())
    return shard


def said(call: Callable[[], object]) -> str | None:
    """The words of the error that a call ends in, which are one line; None: it ends well."""
    try:
        call()
    except (envs.ConformanceError, envs.EnvError, envs.NonFiniteError, TypeError) as error:
        assert "\n" not in str(error)
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore:mine. no set_task", "ignore:overflow encountered in cast")
@pytest.mark.parametrize("name", ROWS)
def test_the_check_and_training_side_by_side(name: str) -> None:
    row = ROWS[name]
    words: Sequence[str | None] = [said(lambda: envs.check(distribution(row))), said(lambda: sample(distribution(row)))]
    for found, wanted in zip(words, (row.check, row.training), strict=True):
        assert (found is None) == (wanted is None), found
        assert found is None or wanted is None or re.search(wanted, found), found
    assert row.check is not None or row.training is None  # nothing is refused that the check lets through


SPACES = {
    "image": ("observation_space", Box(0, 1, (4, 4, 3)), r"observation_space must be flat.*FlattenObservation"),
    "dictionary": ("observation_space", Dict({"x": Box(0, 1, (2,))}), "observation_space must be a Box"),
    "number": ("action_space", Box(-1, 1, ()), "action_space must be flat"),
    "binary": ("action_space", MultiBinary(3), "action_space must be a Box or Discrete"),
}


@pytest.mark.parametrize("name", SPACES)
def test_training_refuses_the_spaces_of_other_distributions_too(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "TABLE", dict(registry.TABLE))
    which, space, sentence = SPACES[name]

    def make(split: str = "train") -> envs.TaskDistribution:
        made = Navigation(split)
        setattr(made, which, space)
        return made

    envs.register(f"odd-{name}", make)
    config = replace(default_config("maml-trpo", f"odd-{name}"), iterations=1, run_dir=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match=f"^--env: odd-{name}: {sentence}"):
        train(config)
    assert not (tmp_path / "run").exists()
