"""The base classes: checks, freezing, identifiable data through every reshape, the registry, and no leaks."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import envs
from envs import NonFiniteError, Task, TaskVectorEnv, UnknownNameError, registry
from envs.api import sample_balanced

# -- tasks -----------------------------------------------------------------------------------------------------


@given(st.text(), st.lists(st.floats(allow_nan=False)))
def test_a_task_survives_json_and_pickle_bit_for_bit(family: str, numbers: list[float]) -> None:
    task = Task(family, tuple(numbers))
    for copied in (Task.from_json(task.to_json()), pickle.loads(pickle.dumps(task))):
        assert copied == task
        assert hash(copied) == hash(task)
        assert copied.array.tobytes() == np.array(numbers, np.float64).tobytes()  # -0.0 is not 0.0 here


def test_a_task_holds_python_floats_whatever_it_is_given() -> None:
    task = Task("f", tuple(np.array([1, 2], np.float32)))
    assert task == Task("f", (1, 2))
    assert [type(x) for x in task.vector] == [float, float]
    assert task.to_json() == '{"family": "f", "vector": [1.0, 2.0]}'


def test_the_array_of_a_task_is_a_copy() -> None:
    task = Task("f", (1.0,))
    task.array[0] = 5
    assert task.vector == (1.0,)
    with pytest.raises(AttributeError):
        task.family = "g"  # type: ignore[misc]


@given(st.integers(1, 6), st.integers(0, 40), st.integers(0, 2**32))
def test_balanced_sampling(num_families: int, count: int, seed: int) -> None:
    pool = {f"family {i}": [Task(f"family {i}", (j,)) for j in range(5)] for i in range(num_families)}
    drawn = sample_balanced(np.random.default_rng(seed), pool, count)
    assert len(drawn) == count
    by_family = Counter(task.family for task in drawn)
    sizes = [by_family[family] for family in pool]
    assert max(sizes) - min(sizes) <= 1
    assert [task.family for task in drawn] == [family for family in pool for _ in range(by_family[family])]
    for family, size in by_family.items():  # no goal twice before every goal once
        repeats = Counter(task for task in drawn if task.family == family).values()
        assert max(repeats) == -(-size // 5)


# -- a vector env whose numbers say where they come from ---------------------------------------------------------


class Labels(TaskVectorEnv):
    """Observes ``1000 * task vector + 100 * task + 10 * env + time``; an action of 1 terminates, 0.5 succeeds."""

    def __init__(self, num_tasks: int = 2, envs_per_task: int = 3, horizon: int = 4) -> None:
        box = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        super().__init__(num_tasks, envs_per_task, box, gym.spaces.Box(-1, 1, (), np.float32), horizon)
        self.time = np.zeros(self.shape)
        self.closed = 0

    def _set_tasks(self, tasks: list[Task]) -> None:
        if any(len(task.vector) != 1 for task in tasks):
            raise ValueError("one number")
        self.labels = 1000 * np.array([task.vector for task in tasks])

    def _reset(self, seeds: list[int], mask: Any) -> Any:
        self.seeds = seeds
        self.time[mask] = 0
        return self._look()

    def _step(self, action: Any, active: Any) -> Any:
        self.time += active
        return self._look(), np.asarray(action, np.float64), action == 1, action == 0.5

    def _look(self) -> Any:
        where = 100 * np.arange(self.num_tasks)[:, None] + 10 * np.arange(self.envs_per_task)
        label = self.labels + where + self.time
        return np.stack([label, -label], -1)

    def _close(self) -> None:
        self.closed += 1


TWO_TASKS = [Task("a", (7,)), Task("b", (8,))]


@pytest.fixture
def env() -> Labels:
    labels = Labels()
    labels.set_tasks(TWO_TASKS)
    return labels


def zeros(env: TaskVectorEnv) -> np.ndarray:
    return np.zeros(env.shape, np.float32)


def test_every_number_lands_in_its_place(env: Labels) -> None:
    # 1000 * (7, 8) + 100 * task + 10 * env
    assert env.reset([0, 0])[..., 0].tolist() == [[7000, 7010, 7020], [8100, 8110, 8120]]
    step = env.step(np.array([[0, 0.1, 0.2], [0.3, 0.4, 0.6]], np.float32))
    assert step.observation[..., 0].tolist() == [[7001, 7011, 7021], [8101, 8111, 8121]]
    assert (step.observation[..., 1] == -step.observation[..., 0]).all()
    np.testing.assert_allclose(step.reward, [[0, 0.1, 0.2], [0.3, 0.4, 0.6]], rtol=1e-6)
    assert step.reward.dtype == np.float64


def test_the_flat_view_is_the_same_numbers_in_one_row(env: Labels) -> None:
    flat = env.flat()
    assert flat.num_envs == 6
    assert flat.observation_space.shape == (6, 2)
    assert flat.metadata["autoreset_mode"] == gym.vector.AutoresetMode.DISABLED
    observation, info = flat.reset(seed=5)
    assert observation[:, 0].tolist() == [7000, 7010, 7020, 8100, 8110, 8120]
    assert (env.seeds, info) == ([5, 6], {})
    observation, reward, terminated, truncated, info = flat.step(np.array([0, 1, 0.5, 0, 0, 0], np.float32))
    assert observation[:, 0].tolist() == [7001, 7011, 7021, 8101, 8111, 8121]
    assert reward.tolist() == [0, 1, 0.5, 0, 0, 0]
    assert terminated.tolist() == [False, True, False, False, False, False]
    assert info["success"].tolist() == [False, False, True, False, False, False]
    assert not truncated.any()


def test_the_flat_view_takes_seeds_per_env_and_resets_by_mask(env: Labels) -> None:
    flat = env.flat()
    flat.reset(seed=[3, 3, 3, 9, 9, 9])
    assert env.seeds == [3, 9]
    flat.step(np.zeros(6, np.float32))
    mask = np.array([0, 1, 0, 0, 0, 1], bool)
    observation, _ = flat.reset(seed=0, options={"reset_mask": mask})
    assert observation[:, 0].tolist() == [7001, 7010, 7021, 8101, 8111, 8120]  # time is 0 again where the mask is
    flat.close()
    assert env.closed == 1


def test_gymnasium_can_wrap_the_flat_view(env: Labels) -> None:
    wrapped = gym.wrappers.vector.RescaleAction(env.flat(), -2.0, 2.0)
    wrapped.reset(seed=0)
    _, reward, *_ = wrapped.step(np.full(6, 1.0, np.float32))  # 1 of [-2, 2] is 0.5 of [-1, 1]
    assert reward.tolist() == [0.5] * 6


def test_a_finished_env_is_frozen_until_its_reset(env: Labels) -> None:
    env.reset([0, 0])
    action = zeros(env)
    action[0, 1] = 1
    first = env.step(action)
    assert np.argwhere(first.terminated).tolist() == [[0, 1]]
    action[0, 1] = np.nan  # ignored now
    second = env.step(action)
    assert second.observation[..., 0].tolist() == [[7002, 7011, 7022], [8102, 8112, 8122]]
    assert second.reward[0, 1] == 0
    assert np.argwhere(second.terminated).tolist() == [[0, 1]]
    mask = np.zeros((2, 3), bool)
    mask[0, 1] = True
    assert env.reset([0, 0], mask)[..., 0].tolist() == [[7002, 7010, 7022], [8102, 8112, 8122]]
    third = env.step(zeros(env))
    assert third.observation[..., 0].tolist() == [[7003, 7011, 7023], [8103, 8113, 8123]]
    assert not third.terminated.any()


def test_success_and_reward_after_the_end_are_nothing(env: Labels) -> None:
    env.reset([0, 0])
    env.step(np.ones(env.shape, np.float32))
    step = env.step(np.full(env.shape, 0.5, np.float32))
    assert not step.success.any()
    assert (step.reward == 0).all()
    assert step.terminated.all()


def test_truncation_at_the_horizon_but_not_of_the_terminated(env: Labels) -> None:
    env.reset([0, 0])
    for _ in range(3):
        assert not env.step(zeros(env)).truncated.any()
    action = zeros(env)
    action[1, 2] = 1  # terminates exactly when the horizon is reached
    step = env.step(action)
    assert np.argwhere(step.terminated).tolist() == [[1, 2]]
    assert np.argwhere(~step.truncated).tolist() == [[1, 2]]


def test_a_partly_reset_env_gets_its_whole_horizon(env: Labels) -> None:
    env.reset([0, 0])
    for _ in range(3):
        env.step(zeros(env))
    mask = np.array([[True, False, False], [False, False, False]])
    env.reset([0, 0], mask)
    truncated = [env.step(zeros(env)).truncated for _ in range(4)]
    assert [bool(flags[0, 0]) for flags in truncated] == [False, False, False, True]
    assert [bool(flags[1, 1]) for flags in truncated] == [True] * 4


def test_the_order_of_calls_is_enforced() -> None:
    env = Labels()
    with pytest.raises(RuntimeError, match="call set_tasks before reset"):
        env.reset([0, 0])
    with pytest.raises(RuntimeError, match="call reset before step"):
        env.step(zeros(env))
    env.set_tasks(TWO_TASKS)
    with pytest.raises(RuntimeError, match="must reset every environment"):
        env.reset([0, 0], np.eye(2, 3, dtype=bool))
    env.reset([0, 0])
    env.set_tasks(TWO_TASKS)
    with pytest.raises(RuntimeError, match="call reset before step"):
        env.step(zeros(env))


def test_closing_is_final_and_happens_once(env: Labels) -> None:
    with env:
        pass
    env.close()
    assert env.closed == 1
    for call in (lambda: env.set_tasks(TWO_TASKS), lambda: env.reset([0, 0]), lambda: env.step(zeros(env))):
        with pytest.raises(RuntimeError, match="closed"):
            call()


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros((2, 2), np.float32), r"shape \(2, 3\), got float32 \(2, 2\)"),
        (np.zeros((2, 3, 1), np.float32), r"got float32 \(2, 3, 1\)"),
        (np.zeros((2, 3), np.int64), "a float numpy array .* got int64"),
        (np.zeros((2, 3), bool), "got bool"),
        ([[0.0] * 3] * 2, "got list"),
    ],
)
def test_actions_of_another_form_are_refused(env: Labels, action: Any, message: str) -> None:
    env.reset([0, 0])
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert (env.time == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_action_is_refused_by_name(env: Labels, value: float) -> None:
    env.reset([0, 0])
    env.step(zeros(env))
    action = zeros(env)
    action[1, 2] = value
    message = r'env \[1, 2\], task \{"family": "b", "vector": \[8.0\]\}, step 1: the policy produced it'
    with pytest.raises(NonFiniteError, match=message):
        env.step(action)
    assert (env.time == 1).all()


def test_wrong_counts_masks_and_sizes_are_refused(env: Labels) -> None:
    with pytest.raises(ValueError, match="set_tasks needs 2 tasks, got 1"):
        env.set_tasks(TWO_TASKS[:1])
    with pytest.raises(ValueError, match="needs 2 seeds"):
        env.reset([0])
    with pytest.raises(ValueError, match="mask must be bool"):
        env.reset([0, 0], np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="mask must be bool"):
        env.reset([0, 0], np.ones((2, 3)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mask must be bool"):
        env.reset([0, 0], [True])  # type: ignore[arg-type]
    env.reset([0, 0], [[True] * 3] * 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        Labels(0, 1)


def test_refused_tasks_leave_the_old_ones_in_place(env: Labels) -> None:
    env.reset([0, 0])
    with pytest.raises(ValueError, match="one number"):
        env.set_tasks([Task("a", ()), Task("b", (1.0, 2.0))])
    assert env.tasks == TWO_TASKS
    assert env.step(zeros(env)).observation[1, 0, 0] == 8101


# -- the registry ------------------------------------------------------------------------------------------------


def test_an_unknown_name_or_split_names_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="closest: navigation"):
        envs.make("navigatoin")
    with pytest.raises(UnknownNameError, match="valid: train, test"):
        envs.make("navigation", "validation")


def test_a_registered_distribution_is_made_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "TABLE", dict(registry.TABLE))
    envs.register("mine", lambda split, horizon=3: envs.make("navigation", split, horizon=horizon))
    assert "mine" in envs.list_names()
    assert (envs.make("mine", "test").split, envs.make("mine", horizon=8).horizon) == ("test", 8)
    assert envs.families("mine") == ("navigation",)
    for taken in ("mine", "navigation", "metaworld/ml10", "metaworld/reach-v3,push-v3"):
        with pytest.raises(ValueError, match="already"):
            envs.register(taken, lambda split: envs.make("navigation", split))


@pytest.mark.parametrize("name", ["ours/one", "metaworldish"])
def test_a_registered_name_may_have_a_slash_and_another_name_in_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "TABLE", dict(registry.TABLE))
    envs.register(name, lambda split: envs.make("navigation", split))
    assert envs.make(name).name == "navigation"
    with pytest.raises(UnknownNameError, match=f"closest: {name}$"):
        envs.make(f"{name}s")


def test_the_stock_benchmark_of_a_name_is_metaworlds() -> None:
    assert envs.stock_benchmark("metaworld/ml1-push-v3") == ("ML1", "push-v3")
    assert envs.stock_benchmark("metaworld/ml25") == ("ML25",)
    for other in ("metaworld/reach-v3,push-v3", "navigation", "bandit/k2-n3", "cheetah-vel@promp"):
        assert envs.stock_benchmark(other) == ()
    with pytest.raises(UnknownNameError, match="closest: navigation"):
        envs.stock_benchmark("navigatoin")


# -- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "valid", "close"),
    [
        ("MAML", ["siamese-koch", "fomaml", "maml"], "maml"),
        ("--Inner-LR", ["--inner-steps", "--inner-lr"], "--inner-lr"),
        ("inner-lr", ["meta_lr", "inner_lr"], "inner_lr"),
        ("gOOD", ["Good", "good", "GOOD"], "GOOD"),  # 3 of 4 letters as written
        ("goods", ["Good", "good"], "good"),
        ("a", ["b", "c"], "b"),  # nothing is alike: the first
    ],
)
def test_the_closest_name_is_found_whatever_the_capitals(name: str, valid: list[str], close: str) -> None:
    assert envs.closest(name, valid) == close


def test_no_name_is_close_enough() -> None:
    assert envs.closest("abcd", ["ABCE"], 0.75) == "ABCE"  # 2 x 3 letters of 8
    assert envs.closest("abcd", ["ABCE"], 0.76) is None
    assert envs.closest("abcd", []) is None


def test_names_cost_neither_metaworld_nor_torch() -> None:
    code = (
        "import sys, json, envs; envs.list_names(); envs.families('metaworld/ml45', 'test'); envs.make('navigation');"
        "print(json.dumps([m for m in ('metaworld', 'mujoco', 'torch', 'meta_rl', 'matplotlib') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_ROOT)
    assert json.loads(done.stdout) == []


_ROOT = Path(__file__).parents[2]

# -- leaks -------------------------------------------------------------------------------------------------------


def _held() -> tuple[int, int, int]:
    """Open file descriptors, threads of the process, and threads that Python knows."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), threading.active_count()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts through Linux's /proc")
@pytest.mark.parametrize(
    ("name", "options", "threads"),
    [
        ("navigation", {}, 0),
        ("metaworld/ml1-reach-v3", {"engine": "reference"}, 0),
        ("metaworld/ml1-reach-v3", {"engine": "native", "num_threads": 3}, 2),  # the caller is the third
    ],
    ids=["navigation", "reference", "native"],
)
def test_closed_environments_leave_nothing_behind(name: str, options: dict[str, Any], threads: int) -> None:
    distribution = envs.make(name, horizon=5, **options)
    tasks = distribution.sample(np.random.default_rng(0), 2)

    def use() -> int:
        with distribution.make(2, 1) as env:
            env.set_tasks(tasks)
            env.reset([0, 1])
            env.step(np.zeros((2, 1, *env.action_space.shape), np.float32))
            return _held()[1]

    use()  # imports and caches are made once
    before = _held()
    assert [use() - before[1] for _ in range(2)] == [threads, threads]
    assert _held() == before
