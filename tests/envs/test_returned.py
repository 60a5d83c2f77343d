"""What an environment returned is read exactly, or refused in one line: never broadcast, cut or cast into place."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from envs import EnvError, SingleEnv, Task
from envs.api import TaskVectorEnv
from envs.vector import GymDistribution, GymVectorEnv

SHAPE = (2,)


class Said(gym.Env):
    """Returns what it is told to."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, dtype: Any, at_reset: Any, at_step: Any = None) -> None:
        low = 0 if np.dtype(dtype).kind == "u" else -100
        self.observation_space = gym.spaces.Box(low, 100, SHAPE, dtype)
        self.at_reset, self.at_step = at_reset, at_step

    def set_task(self, vector: Any) -> None:
        pass

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self.at_reset

    def step(self, action: Any) -> Any:
        return self.at_step


DTYPES = ["float16", "float32", "float64", "int8", "int64", "uint8", "uint64"]
arrays = st.sampled_from([*DTYPES, "bool", "complex64", "<U3", "datetime64[s]"]).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3) | st.just(SHAPE))
)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.complex_numbers()
anything = st.one_of(
    arrays, plain, st.lists(plain, max_size=3), st.dictionaries(st.text(max_size=2), plain, max_size=2), st.binary()
)


def both_ways(env: Said) -> list[TaskVectorEnv]:
    """The environment among others, and alone."""
    among = GymVectorEnv([[env]], "said", 3, "success")
    among.set_tasks([Task("said", (0.0,))])
    return [among, SingleEnv(env, 3)]


def equal(got: Any, given: Any, rounded: bool) -> bool:
    """Whether an observation is what was given; floats may be `rounded` to the type of `got`, or overflow."""
    with np.errstate(over="ignore"):
        wanted = np.asarray(given)
        wanted = wanted.astype(got.dtype) if rounded else wanted
    return got.shape == wanted.shape and bool(np.array_equal(got, wanted, equal_nan=wanted.dtype.kind == "f"))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@settings(max_examples=80, deadline=None)
@given(st.sampled_from(DTYPES), anything)
def test_an_observation_is_what_was_given_or_is_refused_in_one_line(dtype: str, given: Any) -> None:
    for env in both_ways(Said(dtype, (given, {}), (given, 0.0, False, False, {}))):
        try:
            first = env.reset([0])[0, 0]
        except EnvError as error:
            assert "reset: the observation" in str(error)
            assert "\n" not in str(error)
            continue
        rounded = np.dtype(dtype).kind == "f" and np.asarray(given).dtype.kind == "f"
        assert equal(first, given, rounded)
        assert equal(env.step(np.zeros((1, 1), int)).observation[0, 0], given, rounded)


@settings(max_examples=80, deadline=None)
@given(anything, anything, anything, anything)
def test_rewards_and_flags_are_what_was_given_or_are_refused_in_one_line(
    reward: Any, terminated: Any, truncated: Any, success: Any
) -> None:
    zeros = np.zeros(2, np.float32)
    for env in both_ways(Said("float32", (zeros, {}), (zeros, reward, terminated, truncated, {"success": success}))):
        env.reset([0])
        try:
            step = env.step(np.zeros((1, 1), int))
        except EnvError as error:
            assert any(f"step 0: {what}" in str(error) for what in ("the reward", "terminated", "truncated", "info["))
            assert "\n" not in str(error)
            continue
        assert np.array_equal(step.reward[0, 0], np.asarray(reward, float).reshape(()), equal_nan=True)
        assert step.terminated[0, 0] == np.asarray(terminated).reshape(())
        assert step.success[0, 0] == np.asarray(success).reshape(())
        assert np.asarray(truncated).reshape(()) in (0, 1)


@settings(max_examples=80, deadline=None)
@given(st.lists(anything, max_size=6).map(tuple) | anything)
def test_anything_else_that_reset_or_step_return_is_refused_in_one_line(returned: Any) -> None:
    """Of all that is drawn here, only a pair with a dictionary in it is what gymnasium returns."""
    zeros = np.zeros(2, np.float32)
    for env in both_ways(Said("float32", returned)):
        if isinstance(returned, (tuple, list)) and len(returned) == 2 and isinstance(returned[1], (dict, type(None))):
            continue
        with pytest.raises(EnvError, match=r"^[^\n]* reset: [^\n]*$"):
            env.reset([0])
    for env in both_ways(Said("float32", (zeros, {}), returned)):
        env.reset([0])
        if isinstance(returned, (tuple, list)) and len(returned) == 5:
            continue
        with pytest.raises(EnvError, match=r"^[^\n]* step 0: [^\n]*gymnasium's step returns 5[^\n]*$"):
            env.step(np.zeros((1, 1), int))


@pytest.mark.parametrize(
    ("dtype", "given", "read"),
    [
        ("float32", np.array([0.1, 1e-3]), [0.1, 1e-3]),  # rounded
        ("float32", [1, 2**24], [1, 2**24]),
        ("float32", np.array([True, False]), [1, 0]),
        ("uint8", np.array([255.0, 0.0]), [255, 0]),
        ("int64", np.array([-3.0, 2.0], np.float16), [-3, 2]),
        ("float64", np.array([2**53, -1]), [2**53, -1]),
    ],
)
def test_a_cast_that_keeps_the_numbers_is_taken(dtype: str, given: Any, read: list[float]) -> None:
    for env in both_ways(Said(dtype, (given, {}))):
        got = env.reset([0])[0, 0]
        assert got.dtype == dtype
        assert got.tolist() == np.array(read, dtype).tolist()


@pytest.mark.parametrize(
    ("dtype", "given", "number"),
    [
        ("float32", np.array([0, 2**24 + 1]), "16777217"),
        ("float64", np.array([2**53 + 1, 0]), "9007199254740993"),
        ("int64", np.array([0.5, 0.0]), "0.5"),
        ("int64", np.array([0.0, np.nan]), "nan"),
        ("uint8", np.array([256, 0]), "256"),
        ("uint64", np.array([-1, 0]), "-1"),
        ("int64", np.array([2**63, 0], np.uint64), "9223372036854775808"),
    ],
)
def test_a_cast_that_would_change_a_number_is_refused(dtype: str, given: Any, number: str) -> None:
    for env in both_ways(Said(dtype, (given, {}))):
        with pytest.raises(EnvError, match=rf"holds {number} \({given.dtype}\), which {dtype} cannot hold"):
            env.reset([0])


def test_a_success_key_that_never_comes_is_missed_until_it_comes() -> None:
    zeros = np.zeros(2, np.float32)
    said = Said("float32", (zeros, {}), (zeros, 0.0, False, False, {"is_success": True, "steps": 3}))
    env = GymDistribution("said", lambda: said, lambda rng: rng.random(1), 5).make(1, 1)

    def begin() -> None:
        env.set_tasks([Task("said", (0.0,))])
        env.reset([0])

    begin()
    assert "info['success'] was never given, info was empty; success_key=None says" in env.missing_success
    assert not env.step(np.zeros((1, 1), int)).success.any()
    assert "keys seen: 'is_success', 'steps' (success_key='is_success'?" in env.missing_success
    said.at_step = (zeros, 0.0, False, False, {"success": 1})
    assert env.step(np.zeros((1, 1), int)).success.all()
    assert env.missing_success == ""
    begin()  # what was heard of other tasks does not count: shards are functions of their own tasks
    assert env.missing_success


def test_where_there_is_no_goal_no_success_is_missed() -> None:
    zeros = np.zeros(2, np.float32)
    said = Said("float32", (zeros, {}), (zeros, 0.0, False, False, {"success": "unread"}))
    env = GymVectorEnv([[said]], "said", 3, None)
    env.set_tasks([Task("said", (0.0,))])
    env.reset([0])
    assert not env.step(np.zeros((1, 1), int)).success.any()
    assert env.missing_success == ""
