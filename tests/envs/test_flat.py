"""The flat view beside gymnasium's own vector environment on the same environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, NormalizeObservation, NormalizeReward, RecordEpisodeStatistics

import envs
from envs.vector import GymDistribution

ENVS = 4
LENGTHS = (2, 3, 5, 9)
"""Steps of the episodes of the four environments, by number; the last is cut off at the horizon."""
HORIZON = 6


class Counter(gym.Env[Any, Any]):
    """Counts its steps and its episodes; ends after a number of steps that its place decides."""

    observation_space = gym.spaces.Box(-100, 100, (2,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float64)

    def __init__(self, length: int) -> None:
        self.length, self.episode = length, -1

    def set_task(self, vector: np.ndarray) -> None:
        self.episode = -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.time, self.episode = 0, self.episode + 1
        return self._look(), {}

    def step(self, action: np.ndarray) -> Any:
        self.time += 1
        ended = self.time >= self.length
        return self._look(), self.time + float(action[0]), ended, False, {"success": ended and self.length == 3}

    def _look(self) -> np.ndarray:
        return np.array([float(self.time), float(self.episode)])


def counters(num_tasks: int = 2) -> envs.TaskVectorEnv:
    """Four counters, as two tasks of two unless told."""
    lengths = iter((1, *LENGTHS))  # the first is the probe of the spaces
    made = GymDistribution("counter", lambda: Counter(next(lengths)), lambda rng: rng.random(1), HORIZON)
    env = made.make(num_tasks, ENVS // num_tasks)
    env.set_tasks(made.sample(np.random.default_rng(0), num_tasks))
    return env


def theirs(mode: AutoresetMode) -> SyncVectorEnv:
    return SyncVectorEnv(
        [lambda n=n: gym.wrappers.TimeLimit(Counter(n), HORIZON) for n in LENGTHS],  # type: ignore[misc]
        autoreset_mode=mode,
    )


def assert_same(ours: Any, other: Any) -> None:
    """Equal arrays, and equal infos where gymnasium has something to say."""
    for mine, its in zip(ours[:-1], other[:-1], strict=True):
        np.testing.assert_array_equal(mine, its)
        assert mine.dtype == its.dtype
    assert_same_info(ours[-1], other[-1])


def assert_same_info(mine: dict[str, Any], its: dict[str, Any]) -> None:
    assert its.keys() - {"TimeLimit.truncated"} <= mine.keys()
    for name, value in its.items():
        if isinstance(value, dict):
            assert_same_info(mine[name], value)
        elif name == "final_obs":
            for a, b in zip(mine[name], value, strict=True):
                np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_array_equal(mine[name], value)


@pytest.mark.parametrize("num_tasks", [1, 2, 4])
@pytest.mark.parametrize("mode", ["next_step", "same_step"])
def test_episodes_end_and_begin_as_in_gymnasium(mode: str, num_tasks: int) -> None:
    kind = AutoresetMode[mode.upper()]
    ours, other = counters(num_tasks).flat(mode), theirs(kind)
    assert ours.metadata["autoreset_mode"] == kind
    np.testing.assert_array_equal(ours.reset(seed=0)[0], other.reset(seed=0)[0])
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(40):
        action = rng.uniform(-1, 1, (ENVS, 1))
        stepped = ours.step(action), other.step(action)
        assert_same(*stepped)
        ended += int((stepped[0][2] | stepped[0][3]).sum())
    assert ended > 30
    mask = np.array([True, False, True, False])  # a reset in between
    np.testing.assert_array_equal(
        ours.reset(options={"reset_mask": mask})[0], other.reset(options={"reset_mask": mask})[0]
    )
    for _ in range(8):
        assert_same(ours.step(np.zeros((ENVS, 1))), other.step(np.zeros((ENVS, 1))))


def test_with_autoreset_disabled_masks_reset_as_in_gymnasium() -> None:
    ours, other = counters().flat(), theirs(AutoresetMode.DISABLED)
    ours.reset(seed=0)
    other.reset(seed=0)
    for _ in range(30):
        stepped = ours.step(np.zeros((ENVS, 1))), other.step(np.zeros((ENVS, 1)))
        assert_same(*stepped)
        over = stepped[0][2] | stepped[0][3]
        if over.any():
            options = {"reset_mask": over}
            first = ours.reset(options=options)[0]
            assert options == {"reset_mask": over}  # gymnasium's own takes the mask out of it
            np.testing.assert_array_equal(first, other.reset(options=options)[0])


@pytest.mark.parametrize("name", ["classic/cartpole", "bandit/k5-n10", "navigation"])
def test_stepping_on_after_the_end_is_an_error_and_autoreset_goes_on(name: str) -> None:
    distribution = envs.make(name, horizon=10) if name != "bandit/k5-n10" else envs.make(name)
    tasks = distribution.sample(np.random.default_rng(0), 2)
    with distribution.make(2, 2) as env:
        env.set_tasks(tasks)
        flat = env.flat()
        flat.reset(seed=0)
        flat.action_space.seed(0)
        for _ in range(10):
            flat.step(flat.action_space.sample())
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"every episode is over: call reset, .*flat\('next_step'\)"):
                flat.step(flat.action_space.sample())
        flat.reset(options={"reset_mask": np.array([False, True, False, False])})
        _, _, terminated, truncated, _ = flat.step(flat.action_space.sample())
        assert (terminated | truncated).tolist() == [True, False, True, True]  # the others stand still
        env.reset([0, 0])  # behind the view
        flat.step(flat.action_space.sample())
        going = env.flat("next_step")
        going.reset(seed=0)
        ended = 0
        for _ in range(44):
            _, _, terminated, truncated, _ = going.step(flat.action_space.sample())
            ended += int((terminated | truncated).sum())
        assert ended >= 16


# -- seeds ---------------------------------------------------------------------------------------------------------


class Random(gym.Env[Any, Any]):
    """Starts anywhere, for the seed that it is told."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float64)

    def set_task(self, vector: np.ndarray) -> None:
        pass

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self.np_random.random(1), {}

    def step(self, action: np.ndarray) -> Any:
        return self.np_random.random(1), 0.0, bool(self.np_random.random() < 0.2), False, {}


def random_env() -> envs.TaskVectorEnv:
    made = GymDistribution("random", Random, lambda rng: rng.random(1), 10)
    env = made.make(2, 2)
    env.set_tasks(made.sample(np.random.default_rng(0), 2))
    return env


def starts(flat: gym.vector.VectorEnv[Any, Any, Any], seed: Any, **options: Any) -> list[float]:
    return flat.reset(seed=seed, **options)[0][:, 0].tolist()  # type: ignore[no-any-return]


def test_each_environment_has_the_seed_of_its_own() -> None:
    flat = random_env().flat()
    first = starts(flat, [3, 4, 5, 6])
    assert len(set(first)) == 4
    assert starts(flat, [3, 4, 5, 6]) == first
    assert starts(flat, np.array([3, 4, 5, 6])) == first
    for place in range(4):  # one seed moves one environment
        seeds = [3, 4, 5, 6]
        seeds[place] = 99
        changed = [a != b for a, b in zip(starts(flat, seeds), first, strict=True)]
        assert changed == [i == place for i in range(4)]
    # Equal seeds in a task are the task's seed, as for `TaskVectorEnv.reset`.
    env = random_env()
    assert starts(flat, [7, 7, 8, 8]) == env.reset([7, 8])[..., 0].ravel().tolist() == starts(flat, 7)
    assert starts(flat, [7, 7, 2**70, 2**70]) == env.reset([7, 2**70])[..., 0].ravel().tolist()


def test_none_draws_afresh_alone_and_in_a_list() -> None:
    flat = random_env().flat()
    for nothing in (None, [None] * 4):
        drawn = [starts(flat, nothing) for _ in range(3)]
        assert len({number for row in drawn for number in row}) == 12
    first, second = starts(flat, [3, None, None, 6]), starts(flat, [3, None, None, 6])
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, False, True]
    # What was seeded goes on the same way.
    twin = random_env().flat()
    for seed in (5, np.int64(5), [1, 2, 3, 4]):
        assert [starts(flat, seed), starts(flat, None), starts(flat, [None] * 4)] == [
            starts(twin, seed),
            starts(twin, None),
            starts(twin, [None] * 4),
        ]


def test_a_mask_resets_its_environments_with_their_seeds() -> None:
    flat = random_env().flat()
    first = starts(flat, [3, 4, 5, 6])
    mask = np.array([False, True, True, True])
    again = starts(flat, [9, 9, 5, 6], options={"reset_mask": mask})
    assert again[0] == first[0]
    assert again[2:] == first[2:]
    assert again[1] == starts(flat, [9, 9, 9, 9])[1]
    other = random_env().flat()  # the first reset may have a mask of all
    assert starts(other, [3, 4, 5, 6], options={"reset_mask": np.ones(4, bool)}) == first


@pytest.mark.parametrize("mode", ["next_step", "same_step"])
def test_autoreset_repeats_for_a_seed_and_draws_new_starts(mode: str) -> None:
    def play(seed: Any) -> np.ndarray:
        flat = random_env().flat(mode)
        flat.reset(seed=seed)
        return np.stack([flat.step(np.zeros((4, 1)))[0] for _ in range(30)])

    np.testing.assert_array_equal(play(1), play(1))
    np.testing.assert_array_equal(play([1, 2, 3, 4]), play([1, 2, 3, 4]))
    assert len(np.unique(play(1))) == 120


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": [1, 2]}, "a list must have one for each of 4 environments, got 2"),
        ({"seed": [1, 2, 3]}, "one for each of 4 environments, got 3"),
        ({"seed": np.arange(5)}, "got 5"),
        ({"seed": -1}, "seed: must be at least 0, got -1"),
        ({"seed": [0, 1, 2, -3]}, "at least 0, got -3"),
        ({"seed": [0, 1, 2, "a"]}, "must be a whole number, got 'a'"),
        ({"seed": 1.5}, "must be a whole number, got 1.5"),
        ({"options": {"mask": np.ones(4, bool)}}, "options: unknown 'mask'; valid: reset_mask"),
        ({"options": {"task": [1.0]}}, "options: unknown 'task'"),
        ({"options": {"reset_mask": np.ones(3, bool)}}, r"reset_mask must be bool \(4,\), got bool \(3,\)"),
        ({"options": {"reset_mask": np.array([0, 3, 1, 2])}}, r"must be bool \(4,\), got int64"),
        ({"options": {"reset_mask": np.zeros(4, bool)}}, "reset_mask has no environment to reset"),
    ],
)
def test_seeds_and_options_that_mean_nothing_are_refused(arguments: dict[str, Any], message: str) -> None:
    flat = random_env().flat()
    before = starts(flat, 0)
    with pytest.raises(ValueError, match=message):
        flat.reset(**arguments)
    flat.reset(options={})
    assert starts(flat, 0) == before


def test_modes_go_by_gymnasiums_names() -> None:
    env = random_env()
    for mode in AutoresetMode:
        for name in (mode, mode.value, mode.name, mode.name.lower()):
            assert env.flat(name).metadata["autoreset_mode"] == mode
    assert env.flat().metadata["autoreset_mode"] == AutoresetMode.DISABLED
    for wrong in ("nextstep ", "always", True):
        with pytest.raises(ValueError, match=r"autoreset: unknown mode .*; valid: next_step, same_step, disabled"):
            env.flat(wrong)  # type: ignore[arg-type]
    flat = env.flat()
    flat.reset(seed=0)
    with pytest.raises(ValueError, match=r"action must be of 4 environments, got shape \(3, 1\)"):
        flat.step(np.zeros((3, 1)))


# -- gymnasium's wrappers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["next_step", "same_step"])
def test_statistics_of_episodes_are_gymnasiums(mode: str) -> None:
    kind = AutoresetMode[mode.upper()]
    ours, other = RecordEpisodeStatistics(counters().flat(mode)), RecordEpisodeStatistics(theirs(kind))
    ours.reset(seed=0)
    other.reset(seed=0)
    for _ in range(40):
        mine, its = (wrapped.step(np.zeros((ENVS, 1))) for wrapped in (ours, other))
        np.testing.assert_array_equal(mine[1], its[1])
        if "episode" in its[-1]:
            for name in ("r", "l"):
                np.testing.assert_array_equal(mine[-1]["episode"][name], its[-1]["episode"][name])
    assert list(ours.return_queue) == list(other.return_queue)
    assert list(ours.length_queue) == list(other.length_queue)
    assert set(ours.length_queue) == {2, 3, 5, 6}


def test_statistics_of_episodes_with_partial_resets() -> None:
    wrapped = RecordEpisodeStatistics(counters().flat())
    wrapped.reset(seed=0)
    for _ in range(30):
        _, _, terminated, truncated, _ = wrapped.step(np.zeros((ENVS, 1)))
        over = terminated | truncated
        if over.any():
            wrapped.reset(options={"reset_mask": over})
    # 30 steps: 15 episodes of 2, 10 of 3, 6 of 5 and 5 of 6, each with return 1 + 2 + ... + length.
    lengths = list(wrapped.length_queue)
    assert {n: lengths.count(n) for n in set(lengths)} == {2: 15, 3: 10, 5: 6, 6: 5}
    assert list(wrapped.return_queue) == [n * (n + 1) / 2 for n in lengths]


def test_observations_and_rewards_are_normalised_by_gymnasiums_wrappers() -> None:
    views = counters().flat("next_step"), theirs(AutoresetMode.NEXT_STEP)
    ours, other = (NormalizeReward(NormalizeObservation(view)) for view in views)
    np.testing.assert_array_equal(ours.reset(seed=0)[0], other.reset(seed=0)[0])
    for _ in range(30):
        for mine, its in zip(ours.step(np.zeros((ENVS, 1)))[:4], other.step(np.zeros((ENVS, 1)))[:4], strict=True):
            np.testing.assert_array_equal(mine, its)


def test_infos_become_a_list() -> None:
    wrapped = DictInfoToList(counters().flat("same_step"))
    wrapped.reset(seed=0)
    infos: list[Any] = []
    for _ in range(3):
        infos = wrapped.step(np.zeros((ENVS, 1)))[-1]
    assert infos[1]["final_info"] == {"success": True}
    assert infos[1]["final_obs"].tolist() == [3, 0]
    assert infos[2] == {"success": False}
