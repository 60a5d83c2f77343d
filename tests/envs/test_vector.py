"""Any gymnasium environment as a task distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from envs import EnvError, SingleEnv, Task, check
from envs.vector import GymDistribution


class Line(gym.Env):
    """A point on a line that starts at a random place; the task is the gain of the action. `log` is told everything."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self) -> None:
        self.gain, self.position, self.seeds, self.closed = 0.0, 0.0, [], 0

    def set_task(self, vector: np.ndarray) -> None:
        self.gain = float(vector[0])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        assert options is None
        self.seeds.append(seed)
        self.position = self.np_random.random()
        return np.array([self.position]), {}

    def step(self, action: np.ndarray) -> Any:
        self.position += self.gain * float(action[0])
        won = self.position > 10
        return np.array([self.position]), -self.position, self.position < -10, False, {"is_won": won}

    def close(self) -> None:
        self.closed += 1


class Arms(gym.Env):
    """A bandit without noise whose task comes with reset; arms are numbered from 5."""

    observation_space = gym.spaces.Box(0, np.inf, (1,), np.float32)
    action_space = gym.spaces.Discrete(2, start=5)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        assert options is not None
        self.payoffs = options["task"]
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> Any:
        assert self.action_space.contains(action)
        return np.zeros(1, np.float32), float(self.payoffs[action - 5]), False, False, {}


def lines(make_env: Callable[[], gym.Env] = Line, **options: Any) -> GymDistribution:
    """Ten-step episodes on the line."""
    return GymDistribution("line", make_env, lambda rng: rng.uniform(1, 2, 1), 10, success_key="is_won", **options)


def gains(*values: float) -> list[Task]:
    return [Task("line", (value,)) for value in values]


def test_a_method_set_task_is_told_the_task() -> None:
    with lines().make(2, 2) as env:
        env.set_tasks(gains(2.0, 4.0))
        start = env.reset([0, 1])
        step = env.step(np.array([[[0.5], [1.0]], [[0.5], [-1.0]]], np.float32))
    # gain times action: 2 * 0.5, 2 * 1, 4 * 0.5, 4 * -1
    np.testing.assert_allclose(step.observation - start, [[[1.0], [2.0]], [[2.0], [-4.0]]], rtol=1e-15)
    assert (step.reward == -step.observation[..., 0]).all()


def test_set_task_is_found_through_wrappers() -> None:
    with lines(lambda: gym.wrappers.ClipAction(Line())).make(1, 1) as env:
        env.set_tasks(gains(3.0))
        start = env.reset([0])
        step = env.step(np.full((1, 1, 1), 7.0, np.float32))  # ClipAction makes it 1
    np.testing.assert_allclose(step.observation - start, [[[3.0]]], rtol=1e-15)


def test_reset_options_carry_the_task_where_there_is_no_set_task_and_actions_are_discrete() -> None:
    distribution = GymDistribution("arms", Arms, lambda rng: rng.random(2), 3)
    assert isinstance(distribution.action_space, gym.spaces.Discrete)
    with distribution.make(2, 2) as env:
        env.set_tasks([Task("arms", (0.25, 0.5)), Task("arms", (3.0, 4.0))])
        env.reset([0, 0])
        step = env.step(np.array([[5, 6], [6, 5]]))
        assert step.reward.tolist() == [[0.25, 0.5], [4.0, 3.0]]
        with pytest.raises(ValueError, match="integer"):
            env.step(np.full((2, 2), 5.0))


def test_success_and_termination_come_from_the_environment() -> None:
    with lines().make(1, 2) as env:
        env.set_tasks(gains(20.0))
        env.reset([0])
        step = env.step(np.array([[[1.0], [-1.0]]], np.float32))  # beyond 10: won; below -10: terminated
    assert step.success.tolist() == [[True, False]]
    assert step.terminated.tolist() == [[False, True]]
    assert not step.truncated.any()


def test_the_environments_own_time_limit_truncates_earlier() -> None:
    with lines(lambda: gym.wrappers.TimeLimit(Line(), 3)).make(1, 2) as env:
        env.set_tasks(gains(1.0))
        env.reset([0])
        env.reset([0])  # the limit counts from the last reset
        steps = [env.step(np.ones((1, 2, 1), np.float32)) for _ in range(5)]
        assert [step.truncated.tolist() for step in steps] == [[[False] * 2]] * 2 + [[[True] * 2]] * 3
        assert not any(step.terminated.any() for step in steps)
        assert (steps[3].observation == steps[2].observation).all()
        assert (steps[3].reward == 0).all()
        env.reset([0])
        assert not env.step(np.ones((1, 2, 1), np.float32)).truncated.any()


def test_the_horizon_truncates_where_the_environment_does_not() -> None:
    with lines().make(1, 1) as env:
        env.set_tasks(gains(0.0))
        env.reset([0])
        truncated = [bool(env.step(np.zeros((1, 1, 1), np.float32)).truncated[0, 0]) for _ in range(11)]
    assert truncated == [False] * 9 + [True] * 2


def test_frozen_environments_are_not_stepped() -> None:
    made: list[Line] = []

    def make() -> Line:
        made.append(Line())
        return made[-1]

    with lines(make).make(1, 2) as env:
        env.set_tasks(gains(20.0))
        env.reset([0])
        env.step(np.array([[[-1.0], [0.1]]], np.float32))
        before = made[1].position  # made[0] was the probe of the spaces
        env.step(np.array([[[-1.0], [0.1]]], np.float32))
        assert made[1].position == before
        assert made[2].position > made[2].gain * 0.15  # the other one went on
    assert [one.closed for one in made] == [1, 1, 1]


def test_each_env_of_each_task_gets_a_seed_of_its_own_that_does_not_depend_on_the_batch() -> None:
    def first_observations(seeds: list[int], envs_per_task: int) -> np.ndarray:
        with lines().make(len(seeds), envs_per_task) as env:
            env.set_tasks(gains(*[1.0] * len(seeds)))
            return env.reset(seeds)[..., 0]

    many = first_observations([4, 5, 6], 3)
    assert len(set(many.ravel().tolist())) == 9
    assert (first_observations([6, 4], 2) == many[[2, 0], :2]).all()


def test_sample_gives_the_numbers_that_the_function_drew() -> None:
    tasks = lines().sample(np.random.default_rng(3), 2)
    rng = np.random.default_rng(3)
    assert tasks == gains(rng.uniform(1, 2), rng.uniform(1, 2))


def test_foreign_tasks_are_refused() -> None:
    with lines().make(1, 1) as env, pytest.raises(ValueError, match="expected a task of family 'line'"):
        env.set_tasks([Task("circle", (1.0,))])


@pytest.mark.parametrize("which", ["observation", "action"])
def test_unusable_spaces_are_refused(which: str) -> None:
    class Dictionary(Line):
        observation_space = gym.spaces.Dict({"x": Line.observation_space})

    class Binary(Line):
        action_space = gym.spaces.MultiBinary(3)

    with pytest.raises(TypeError, match=f"line: {which}_space must be a Box"):
        lines({"observation": Dictionary, "action": Binary}[which])


def test_a_horizon_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="horizon"):
        GymDistribution("line", Line, lambda rng: rng.random(1), 0)


def test_somebody_elses_environment_keeps_its_task_and_stays_open() -> None:
    mine = Line()
    mine.set_task(np.array([3.0]))
    with SingleEnv(mine, horizon=4, success_key="is_won") as env:
        for seed in (11, 12):
            start = env.reset([seed])
            steps = [env.step(np.ones((1, 1, 1), np.float32)) for _ in range(4)]
            np.testing.assert_allclose([s.observation[0, 0, 0] - start[0, 0, 0] for s in steps], [3, 6, 9, 12])
            assert [s.success[0, 0] for s in steps] == [False, False, False, True]
            assert [s.truncated[0, 0] for s in steps] == [False, False, False, True]
    assert mine.seeds == [11, 12]
    assert mine.closed == 0


class Mute(Line):
    """Fails an assertion that says nothing, once its position is beyond 1."""

    def step(self, action: np.ndarray) -> Any:
        if self.position > 1:
            raise AssertionError  # what `assert` without a message raises; pytest would give it one
        return super().step(action)


def test_an_error_without_a_word_is_told_with_its_place() -> None:
    with lines(Mute).make(2, 1) as env:
        env.set_tasks(gains(1.0, 0.0))
        env.reset([0, 0])
        env.step(np.ones((2, 1, 1), np.float32))
        place = r'^env \[0, 0\], task {"family": "line", "vector": \[1.0\]}, step 1: AssertionError without a message$'
        with pytest.raises(EnvError, match=place) as caught:
            env.step(np.ones((2, 1, 1), np.float32))
    assert isinstance(caught.value.__cause__, AssertionError)


def test_an_error_keeps_its_own_words() -> None:
    with lines(Arms).make(1, 1) as env:
        env.set_tasks(gains(1.0))
        env.reset([0])
        with pytest.raises(EnvError, match=r"step 0: IndexError: index 1 is out of bounds"):
            env.step(np.full((1, 1), 6))


class Pearl(gym.Wrapper):
    """Takes its task under another name."""

    def reset_task(self, vector: np.ndarray) -> None:
        self.unwrapped.payoffs = vector


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (
            type("Camel", (Arms,), {"setTask": lambda self, v: None, "set_goal": lambda self, v: None}),
            "setTask, set_goal",
        ),
        (lambda: Pearl(Arms()), "reset_task"),
        (lambda: gym.wrappers.ClipReward(Pearl(Arms()), 0, 1), "reset_task"),
    ],
)
def test_what_looks_like_set_task_is_named(make: Callable[[], gym.Env], names: str) -> None:
    with pytest.warns(UserWarning, match=rf"^arms: no set_task, so .* reset\(options=.*; never called: {names}$"):
        GymDistribution("arms", make, lambda rng: rng.random(2), 3)


def test_seeds_fit_in_31_bits_and_those_that_did_are_as_they_were() -> None:
    made: list[Line] = []

    def make() -> Line:
        made.append(Line())
        return made[-1]

    with lines(make).make(20, 2) as env:
        env.set_tasks(gains(*[1.0] * 20))
        env.reset(range(20))
    got = [one.seeds[0] for one in made[1:]]
    whole = [int(np.random.SeedSequence([task, i]).generate_state(1)[0]) for task in range(20) for i in range(2)]
    assert got == [seed % 2**31 for seed in whole]
    assert sum(a == b for a, b in zip(got, whole, strict=True)) == sum(seed < 2**31 for seed in whole) > 10


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (lambda self, v: v["goal"], IndexError),
        (lambda self, v: 1 / 0, ZeroDivisionError),
        (lambda self, v: (_ for _ in ()).throw(ValueError("above\n1")), ValueError),
    ],
)
def test_errors_inside_set_task_have_their_place(broken: Any, error: type[Exception]) -> None:
    with lines(type("Broken", (Line,), {"set_task": broken})).make(1, 2) as env:
        place = (
            rf'^env \[0, 0\], task {{"family": "line", "vector": \[2.0\]}}, set_task\(array of 1\): {error.__name__}: .'
        )
        with pytest.raises(EnvError, match=place) as caught:
            env.set_tasks(gains(2.0))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)  # a task that cannot be held, as the contract has it
    assert isinstance(caught.value.__cause__, error)


@pytest.mark.parametrize("drawn", [0.5, None, "left", [[0.5]], {"goal": 0.5}, [0.5, "far"]])
def test_a_sampler_that_gives_no_numbers_is_refused(drawn: Any) -> None:
    distribution = GymDistribution("line", Line, lambda rng: drawn, 10)
    with pytest.raises(EnvError, match=r"^line: sample_vector gave .*; valid: a list of finite numbers, like \[0.5\]$"):
        distribution.sample(np.random.default_rng(0), 1)


def test_an_action_outside_its_bounds_is_shown_where_a_step_goes_wrong() -> None:
    class Bounded(Line):
        def step(self, action: np.ndarray) -> Any:
            assert self.action_space.contains(action), "no such action"
            return super().step(action)

    with lines(Bounded).make(1, 1) as env:
        env.set_tasks(gains(1.0))
        env.reset([0])
        with pytest.raises(EnvError, match=r"no such action.*; its action \[1.5\] is outside its bounds.*ClipAction"):
            env.step(np.full((1, 1, 1), 1.5, np.float32))
    clipped = lines(lambda: gym.wrappers.ClipAction(Bounded()))
    assert clipped.action_space == Bounded.action_space  # the bounds to which it clips: those of random agents
    with clipped.make(1, 1) as env:
        env.set_tasks(gains(1.0))
        start = env.reset([0])
        moved = env.step(np.full((1, 1, 1), 1.5, np.float32)).observation - start
    np.testing.assert_allclose(moved, 1.0)


@pytest.mark.parametrize("state", [property(lambda self: 1 / 0), [[1], [1, 2]], "words", None, {"x": 1}])
def test_a_state_that_is_not_made_of_numbers_counts_as_none(state: Any) -> None:
    with lines(type("Stated", (Line,), {"state": state})).make(1, 1) as env:
        assert env.state(0, 0).shape == (0,)


def held(observation: Any, vector: Any) -> Any:
    return [float(vector[0] - observation[0])]


def test_an_expert_of_ones_own() -> None:
    """It is told the numbers of the task, and cut off at the bounds."""
    distribution = GymDistribution("mine", Pointed, lambda rng: rng.uniform(-3, 3, 1), 5, expert=held)
    check(distribution)
    assert distribution.has_expert
    with distribution.make(2, 1) as env:
        env.set_tasks([Task("mine", (0.5,)), Task("mine", (3.0,))])
        seen = np.array([[[[0.25], [0.0]]], [[[2.5], [0.0]]]])
        action = env.expert_action(seen)
        assert action is not None
        np.testing.assert_allclose(action[..., 0], [[[0.25, 0.5]], [[0.5, 1.0]]])


@pytest.mark.parametrize(
    ("expert", "said"),
    [
        (lambda o, v: [1.0, 2.0], "ValueError"),
        (lambda o, v: o.nothing, "AttributeError"),
        (lambda o, v: "x", "ValueError"),
    ],
)
def test_an_expert_that_is_wrong(expert: Any, said: str) -> None:
    with GymDistribution("mine", Pointed, lambda rng: [0.5], 5, expert=expert).make(1, 1) as env:
        env.set_tasks([Task("mine", (0.5,))])
        with pytest.raises(EnvError, match=rf"expert\(observation, vector\): {said}.*valid: an action of Box"):
            env.expert_action(np.zeros((1, 1, 1)))


class Pointed(gym.Env):
    """Moves by what it is told; pays for being near the number of its task."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    goal = 0.0

    def set_task(self, vector):
        self.goal = float(vector[0])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-0.1, 0.1, 1)
        return self.place.copy(), {}

    def step(self, action):
        self.place = self.place + np.clip(action, -1, 1)
        near = abs(float(self.place[0]) - self.goal)
        return self.place.copy(), -near, False, False, {"success": near < 0.1}
