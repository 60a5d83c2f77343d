"""A moment of running environments, taken back, branched from and copied, beside the same actions played straight
through: equal to the last bit."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import cloudpickle
import numpy as np
import pytest

import envs
from envs import Task, TaskDistribution, TaskVectorEnv
from envs.metaworld.distribution import MetaWorld

# Door-lock reads views of the simulation, bin-picking remembers a number within an episode, basketball and pick-place
# look at contacts; families differ in the size of their state.
METAWORLD = "metaworld/reach-v3,pick-place-v3,door-lock-v3,bin-picking-v3,basketball-v3,assembly-v3"
KINDS = {
    METAWORLD: {"num_threads": 2},
    "cheetah-vel@promp": {"num_threads": 2},
    "ant-goal@promp": {"num_threads": 2},
    "humanoid-dir@promp": {"num_threads": 2},
    "walker-params@promp": {"num_threads": 2},
    "hopper-params@v5": {"num_threads": 2},
    f"{METAWORLD}+dynamics": {"num_threads": 2},
    "ant-goal@promp+dynamics": {"num_threads": 2},
    "walker-params@promp+delay=1..3": {"num_threads": 2},
    "navigation": {},
    "bandit/k5-n100": {},
    "tabular": {"horizon": 60},
    "classic/pendulum": {},
    "classic/cartpole": {},
}
"""Name -> options."""
BEFORE, AFTER = 25, 15
"""Env steps before and after the moment."""


def begun(name: str, envs_per_task: int = 2, **options: Any) -> tuple[TaskDistribution, TaskVectorEnv]:
    distribution = envs.make(name, **KINDS[name] | options)
    num_tasks = max(2, len(distribution.families))
    env = distribution.make(num_tasks, envs_per_task)
    env.set_tasks(distribution.sample(np.random.default_rng(1), num_tasks))
    env.reset(range(num_tasks))
    return distribution, env


def actions(env: TaskVectorEnv, steps: int, seed: int = 0) -> np.ndarray:
    """Random ones ``[step, task, env, ...]``."""
    space = copy.deepcopy(env.action_space)
    space.seed(seed)
    drawn = np.array([space.sample() for _ in range(steps * env.num_tasks * env.envs_per_task)], space.dtype)
    return drawn.reshape(steps, *env.shape, *space.shape)


def play(env: TaskVectorEnv, given: np.ndarray) -> list[np.ndarray]:
    """Every array that the steps give, and the states at their end."""
    seen = [array for action in given for array in env.step(action)]
    return seen + [env.state(task, e) for task, e in np.ndindex(env.shape)]


def assert_same(got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", KINDS)
def test_going_on_from_a_moment_is_playing_straight_through(name: str) -> None:
    _, env = begun(name)
    given = actions(env, BEFORE + AFTER)
    play(env, given[:BEFORE])
    stored = cloudpickle.dumps(env.get_state())
    straight = play(env, given[BEFORE:])
    last = env.get_state()

    moment = pickle.loads(stored)  # written and read between, as a file would
    np.testing.assert_array_equal(env.set_state(moment), moment.arrays["observation"])
    assert_same(play(env, given[BEFORE:]), straight)
    play(env, given[:3])
    env.set_state(moment)  # a second time: nothing of the first one is left
    assert_same(play(env, given[BEFORE:]), straight)
    assert_same([*env.get_state().arrays.values()][1:], [*last.arrays.values()][1:])

    options = {"num_threads": 1} if "num_threads" in KINDS[name] else {}
    _, other = begun(name, **options)  # of its own, which has played something else
    with other:
        play(other, given[:2])
        other.set_state(moment)
        assert other.tasks == env.tasks
        assert_same(play(other, given[BEFORE:]), straight)
    env.close()


@pytest.mark.parametrize("name", KINDS)
def test_a_copy_goes_the_same_way_and_its_own(name: str) -> None:
    _, env = begun(name)
    given = actions(env, BEFORE + AFTER)
    play(env, given[:BEFORE])
    with env, env.copy() as twin, copy.deepcopy(env) as deep, copy.copy(env) as shallow:
        play(deep, actions(env, 4, seed=9))  # nobody else notices
        straight = play(env, given[BEFORE:])
        assert_same(play(twin, given[BEFORE:]), straight)
        assert_same(play(shallow, given[BEFORE:]), straight)
        assert twin.tasks == env.tasks


@pytest.mark.parametrize("name", [METAWORLD, "ant-goal@promp", "hopper-params@v5", "navigation", "tabular"])
def test_branches_of_one_environment(name: str) -> None:
    """Eight branches of env [1, 1], of which each is what that environment does with the actions of the branch."""
    distribution, env = begun(name)
    play(env, actions(env, BEFORE))
    moment = env.get_state()
    with env, distribution.make(2, 4) as branches:
        branches.set_state(moment.pick([1, 1], [1] * 4))
        assert branches.tasks == [env.tasks[1]] * 2
        given = actions(branches, AFTER, seed=3)
        seen = [branches.step(action) for action in given]
        for task, e in np.ndindex(branches.shape):
            env.set_state(moment)
            for step, action in zip(seen, given, strict=True):
                wide = np.zeros((*env.shape, *action.shape[2:]), action.dtype)
                wide[1, 1] = action[task, e]
                alone = env.step(wide)
                for a, b in zip(alone, step, strict=True):
                    np.testing.assert_array_equal(a[1, 1], b[task, e])


@pytest.mark.parametrize("name", [METAWORLD, "cheetah-vel@promp", "walker-params@promp", "bandit/k5-n100"])
def test_some_go_back_and_the_others_go_on(name: str) -> None:
    _, env = begun(name)
    given = actions(env, BEFORE + 2 * AFTER)
    with env:
        play(env, given[:BEFORE])
        moment = env.get_state()
        first = [env.step(action) for action in given[BEFORE : BEFORE + AFTER]]
        with env.copy() as twin:
            second = [twin.step(action) for action in given[BEFORE + AFTER :]]
        mask = np.zeros(env.shape, bool)
        mask[::2, 0] = True
        env.set_state(moment, mask)
        wide = mask.reshape(*mask.shape, *(1,) * (given.ndim - 3))
        for time in range(AFTER):
            action = np.where(wide, given[BEFORE + time], given[BEFORE + AFTER + time])
            for a, back, on in zip(env.step(action), first[time], second[time], strict=True):
                np.testing.assert_array_equal(a[mask], back[mask])
                np.testing.assert_array_equal(a[~mask], on[~mask])


def test_episodes_that_are_over_stay_over() -> None:
    _, env = begun("hopper-params@v5", horizon=60)
    with env:
        given = actions(env, 60)
        play(env, given)
        assert env.over.all()
        moment = env.get_state()
        env.reset([5, 6])
        env.set_state(moment)
        assert env.over.all()
        assert not env.step(given[0]).reward.any()
        env.reset([0, 1])  # and the next one begins as always
        straight = play(env, given)
        env.set_state(moment)
        env.reset([0, 1])
        assert_same(play(env, given), straight)


def test_before_the_first_reset() -> None:
    distribution = envs.make("cheetah-dir@promp", num_threads=1)
    tasks = distribution.sample(np.random.default_rng(0), 2)
    with distribution.make(2, 1) as env:
        with pytest.raises(RuntimeError, match="call reset before get_state"):
            env.get_state()
        env.set_tasks(tasks)
        with env.copy() as twin:
            assert twin.tasks == tasks
            np.testing.assert_array_equal(twin.reset([0, 1]), env.reset([0, 1]))


def test_what_does_not_fit_is_refused() -> None:
    _, env = begun("navigation")
    _, cart = begun("classic/cartpole")
    distribution = envs.make("navigation")
    moment = env.get_state()
    with env, cart, distribution.make(3, 1) as wider:
        with pytest.raises(ValueError, match="a GymVectorEnv cannot go on from the moment of a NavigationVectorEnv"):
            cart.set_state(moment)
        with pytest.raises(ValueError, match=r"has \(2, 2\) environments, expected \(3, 1\); pick makes it fit"):
            wider.set_state(moment)
        with pytest.raises(ValueError, match="env must be one of 0 to 1, got \\[2\\]"):
            moment.pick([0], [2])
        with pytest.raises(ValueError, match=r"mask must be bool \(2, 2\), got int64 \(4,\)"):
            env.set_state(moment, np.ones(4, np.int64))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"mask must be bool \(2, 2\), got bool \(1,\)"):
            env.set_state(moment, [True])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="set_state: needs what get_state gives, got dict"):
            env.set_state(dict(moment.arrays))  # type: ignore[arg-type]
        env.set_tasks([Task("navigation", (0.0, 0.1))] * 2)
        with pytest.raises(ValueError, match="tasks must be those"):
            env.set_state(moment, np.ones((2, 2), bool))
        env.set_state(moment)
        assert tuple(env.tasks) == moment.tasks
    with pytest.raises(RuntimeError, match="closed"):
        env.get_state()


def test_those_that_cannot_say_so() -> None:
    distribution = MetaWorld("reach-v3", engine="reference")
    with distribution.make(1, 1) as env:
        env.set_tasks(distribution.sample(np.random.default_rng(0), 1))
        env.reset([0])
        with pytest.raises(NotImplementedError, match="a ReferenceVectorEnv cannot say what it holds"):
            env.get_state()
        with pytest.raises(NotImplementedError, match="a ReferenceVectorEnv cannot be copied"):
            env.copy()


@pytest.mark.parametrize("name", KINDS)
def test_distributions_are_pickled_and_environments_are_not(name: str) -> None:
    distribution, env = begun(name)
    again = pickle.loads(cloudpickle.dumps(distribution))
    rng = np.random.default_rng
    assert again.sample(rng(3), 4) == distribution.sample(rng(3), 4)
    with env, again.make(*env.shape) as other:
        other.set_tasks(env.tasks)
        np.testing.assert_array_equal(other.reset(range(env.num_tasks)), env.reset(range(env.num_tasks)))
        with pytest.raises(TypeError, match="is not pickled: it holds simulations and threads; pickle its TaskDistrib"):
            pickle.dumps(env)
