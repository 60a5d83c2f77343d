"""What the engine promises beyond being right: independence of threads, order and history, and clean ends."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import envs
from envs.api import NonFiniteError, Task
from envs.metaworld import benchmarks
from envs.metaworld.engine import FAMILIES, EngineVectorEnv
from tests.envs.oracle import draw_tasks

# Different sizes, contacts, live views of the simulation, and (bin-picking) a number remembered within an episode.
SOME = ("reach-v3", "pick-place-v3", "door-open-v3", "bin-picking-v3", "basketball-v3", "door-lock-v3", "assembly-v3")


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return [task for family in SOME for task in draw_tasks(family, 2, seed=5)]


def _rollout(tasks, actions, order, num_threads, used_before=False):
    """Observations [step + 1, task, env, 39] and rewards of `tasks`, run in the given order, in the original order."""
    count, envs = actions.shape[1:3]
    with EngineVectorEnv(count, envs, len(actions), num_threads=num_threads) as env:
        if used_before:
            env.set_tasks([tasks[i] for i in np.roll(order, 3)])
            env.reset(range(count))
            for action in actions[:20]:
                env.step(action)
        env.set_tasks([tasks[i] for i in order])
        observations, rewards = [env.reset(range(count))], []
        for action in actions:
            step = env.step(action[order])
            observations.append(step.observation)
            rewards.append(step.reward)
        assert step.truncated.all()
    env.close()  # twice is fine
    back = np.argsort(order)
    return np.array(observations)[:, back], np.array(rewards)[:, back]


def test_threads_order_and_history_do_not_matter(tasks: list[Task]) -> None:
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (60, len(tasks), 2, 4)).astype(np.float32)
    expected = _rollout(tasks, actions, np.arange(len(tasks)), num_threads=1)
    for num_threads, used_before in ((2, False), (3, True), (1, True)):
        got = _rollout(tasks, actions, rng.permutation(len(tasks)), num_threads, used_before)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_masked_reset_restarts_only_those(tasks: list[Task]) -> None:
    with EngineVectorEnv(1, 2, num_threads=1) as env:
        env.set_tasks(tasks[:1])
        first = env.reset([0])
        action = np.full((1, 2, 4), 0.5, np.float32)
        after_one = env.step(action).observation
        again = env.reset([0], np.array([[True, False]]))
        np.testing.assert_array_equal(again[0, 0], first[0, 0])
        np.testing.assert_array_equal(again[0, 1], after_one[0, 1])
        np.testing.assert_array_equal(env.step(action).observation[0, 0], after_one[0, 0])


def test_all_families_are_here() -> None:
    assert sorted(FAMILIES) == sorted(benchmarks.FAMILIES)
    assert len(FAMILIES) == 50


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts files through /proc")
def test_a_rollout_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def use() -> None:
        distribution = envs.make("metaworld/ml10", num_threads=3)
        with distribution.make(10, 2) as env:
            env.set_tasks(distribution.sample(np.random.default_rng(0), 10))
            env.reset(range(10))
            for _ in range(5):
                env.step(np.zeros((10, 2, 4), np.float32))

    monkeypatch.chdir(tmp_path)
    use()  # imports, the cache folder
    before = len(os.listdir("/proc/self/task")), sorted(os.listdir("/proc/self/fd"))
    use()
    assert (len(os.listdir("/proc/self/task")), sorted(os.listdir("/proc/self/fd"))) == before
    assert list(tmp_path.iterdir()) == []


def test_wrong_shapes_and_dtypes_are_refused_with_the_expected_ones(tasks: list[Task]) -> None:
    with EngineVectorEnv(2, 1, num_threads=1) as env:
        env.set_tasks(tasks[:2])
        env.reset([0, 0])
        for action in (np.zeros((2, 4), np.float32), np.zeros((2, 1, 3), np.float32), np.zeros((2, 1, 4), int)):
            with pytest.raises(ValueError, match=r"a float numpy array of shape \(2, 1, 4\), got"):
                env.step(action)
        with pytest.raises(ValueError, match="2 tasks, got 1"):
            env.set_tasks(tasks[:1])
        with pytest.raises(ValueError, match="2 seeds"):
            env.reset([0])


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads through /proc")
def test_close_ends_the_threads(tasks: list[Task]) -> None:
    before = len(os.listdir("/proc/self/task"))
    env = EngineVectorEnv(4, 1, num_threads=3)
    env.set_tasks(tasks[:4])
    env.reset(range(4))
    env.step(np.zeros((4, 1, 4), np.float32))
    assert len(os.listdir("/proc/self/task")) == before + 2
    env.close()
    assert len(os.listdir("/proc/self/task")) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_use_after_fork_is_refused_and_close_is_safe(tasks: list[Task]) -> None:
    with EngineVectorEnv(2, 1, num_threads=2) as env:
        env.set_tasks(tasks[:2])
        env.reset(range(2))
        action = np.zeros((2, 1, 4), np.float32)
        env.step(action)
        child = os.fork()
        if child == 0:
            try:
                env.step(action)
            except RuntimeError as error:
                env.close()
                os._exit(0 if "fork" in str(error) else 2)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        env.step(action)


def test_bad_input_is_refused(tasks: list[Task]) -> None:
    with EngineVectorEnv(1, 1, num_threads=1) as env:
        with pytest.raises(ValueError, match="no family 'juggle-v3'"):
            env.set_tasks([Task("juggle-v3", (0.0,))])
        with pytest.raises(ValueError, match="has 6 numbers, got 1"):
            env.set_tasks([Task("reach-v3", (0.0,))])
        with pytest.raises(ValueError, match="too close"):
            env.set_tasks([Task("reach-v3", (0, 0.6, 0.02, 0, 0.61, 0.1))])
        env.set_tasks(tasks[:1])
        env.reset([0])
        with pytest.raises(NonFiniteError, match="step 0"):
            env.step(np.full((1, 1, 4), np.nan, np.float32))
        env.step(np.zeros((1, 1, 4)))  # other floats are rounded to float32
