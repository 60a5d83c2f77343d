"""How many threads an engine gets; and threads of one process that meet in what they share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from envs import Track, gl
from envs.metaworld import benchmarks, snapshots, vector_env
from envs.metaworld.engine import EngineVectorEnv
from envs.threads import count_threads, one_thread_at_a_time


def test_the_limit_holds_where_no_number_is_given() -> None:
    cores = count_threads(None)
    envs.limit_threads(1)
    try:
        assert count_threads(None) == 1
        assert count_threads(3) == 3
    finally:
        envs.limit_threads(None)
    assert count_threads(None) == cores
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        envs.limit_threads(0)


MAKERS = (benchmarks.goals, snapshots.family_model, snapshots.native_task)


@pytest.fixture
def uncached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder of this test's own, and no memory of what earlier tests made."""
    monkeypatch.setenv("META_RL_CACHE", str(tmp_path))
    forget()
    yield tmp_path
    forget()


@pytest.fixture(scope="module")
def goals() -> dict[str, list[envs.Task]]:
    """Goals by family, drawn once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("META_RL_CACHE", "")
        tasks = envs.make("metaworld/push-v3,door-open-v3").tasks() or []
    return {family: [task for task in tasks if task.family == family] for family in ("push-v3", "door-open-v3")}


@pytest.fixture(scope="module")
def display() -> None:
    try:
        gl.backend()
    except envs.NoDisplayError as error:
        pytest.skip(str(error))


def forget() -> None:
    for function in MAKERS:
        function.cache_clear()


def tasks_of(distribution: envs.TaskDistribution, goals: dict[str, list[envs.Task]], count: int) -> list[envs.Task]:
    drawn = goals.get(distribution.name.removeprefix("metaworld/ml1-"))
    return drawn[:count] if drawn else distribution.sample(np.random.default_rng(0), count)


def side_by_side(function: Callable[[int], Any], count: int = 2) -> list[Any]:
    """What `function` of 0, 1, ... gives in as many threads that begin together."""
    start = threading.Barrier(count)

    def begin(number: int) -> Any:
        start.wait()
        return function(number)

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(begin, number) for number in range(count)]]


def starts(tasks: list[envs.Task]) -> bytes:
    """First observations and states."""
    with EngineVectorEnv(len(tasks), 1, num_threads=1) as env:
        env.set_tasks(tasks)
        seen = [env.reset([0] * len(tasks))[:, 0].tobytes()]
        return b"".join(seen + [env.state(i, 0).tobytes() for i in range(len(tasks))])


@pytest.mark.parametrize("family", ["push-v3", "door-open-v3"])
def test_start_states_made_in_two_threads_are_those_of_one(
    uncached: Path, goals: dict[str, list[envs.Task]], family: str
) -> None:
    """In the environments of the threads, and in what they left on disk for later processes."""
    parts = [goals[family][0:5], goals[family][5:10]]
    made = side_by_side(lambda k: starts(parts[k]))
    forget()
    read = [starts(part) for part in parts]
    for path in uncached.rglob("*.npz"):
        path.unlink()
    snapshots.native_task.cache_clear()
    assert made == read == [starts(part) for part in parts]


def test_goals_drawn_in_two_threads_are_those_of_one(uncached: Path) -> None:
    """Metaworld draws them from numpy's global generator."""
    names = ("push-v3", "reach-v3")
    made = side_by_side(lambda k: envs.make(f"metaworld/{names[k]}").tasks())
    for path in uncached.rglob("*.npz"):
        path.unlink()
    forget()
    assert made == [envs.make(f"metaworld/{name}").tasks() for name in names]


def test_a_disturbed_reset_is_done_again_and_never_stored(
    uncached: Path, goals: dict[str, list[envs.Task]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = goals["push-v3"][0]
    right, snapshot, calls = starts([task]), snapshots._snapshot, []

    def disturbed(task: envs.Task, native: Any) -> Any:
        calls.append(task)
        made = snapshot(task, native)
        return made if len(calls) > until else made | {"state": made["state"] + 0.1 * len(calls)}

    monkeypatch.setattr(snapshots, "_snapshot", disturbed)
    for path in uncached.rglob("*.npz"):
        path.unlink()
    until = 100
    snapshots.native_task.cache_clear()
    with pytest.raises(RuntimeError, match=r'reset leaves task \{"family": "push-v3".* in another state each time'):
        starts([task])
    assert not [path for path in uncached.rglob("*.npz") if path.stem != "model"]
    until = len(calls) + 1
    assert starts([task]) == right
    snapshots.native_task.cache_clear()
    monkeypatch.setattr(snapshots, "_snapshot", None)  # it is on disk now
    assert starts([task]) == right


@pytest.mark.parametrize("name", ["metaworld/ml1-push-v3", "metaworld/ml1-door-open-v3", "ant-goal@promp"])
def test_scenes_made_and_posed_in_two_threads_are_those_of_one(goals: dict[str, list[envs.Task]], name: str) -> None:
    distribution = envs.make(name, "test")
    tasks = tasks_of(distribution, goals, 16)
    with distribution.make(1, 1) as env:
        env.set_tasks(tasks[:1])
        env.reset([0])
        state = env.state(0, 0)

    def look(task: envs.Task) -> tuple[Any, bytes]:
        scene = distribution.scene(task)
        return scene.marks()["goal"], scene.poses(state[None]).tobytes()

    made = side_by_side(lambda k: [look(task) for task in tasks[k::2]])
    assert made == [[look(task) for task in tasks[k::2]] for k in range(2)]


@pytest.mark.usefixtures("display")
@pytest.mark.parametrize("name", ["metaworld/ml1-push-v3", "cheetah-vel@promp", "ant-goal@promp"])
def test_a_picture_is_the_same_in_every_thread(goals: dict[str, list[envs.Task]], name: str) -> None:
    distribution = envs.make(name, "test")
    tasks = tasks_of(distribution, goals, 3)
    tracks = []
    with distribution.make(3, 1) as env:
        env.set_tasks(tasks)
        env.reset([0, 1, 2])
        for i in range(3):
            tracks.append(Track(np.array([env.state(i, 0)] * 2), np.zeros((1, 4)), np.zeros(1), 1))

    def draw(number: int) -> Any:
        return distribution.scene(tasks[number]).draw(tracks[number], 1, 64, 48)

    alone = [draw(number) for number in range(3)]
    assert all(picture.std() > 2 for picture in alone)
    assert np.array_equal(side_by_side(draw, 3), alone)


@pytest.mark.usefixtures("display")
def test_a_forked_process_cannot_draw_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    gl.drawing(lambda: None)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(envs.NoDisplayError, match="forked from one that has drawn; start it by spawn or forkserver"):
        gl.drawing(lambda: None)


@pytest.mark.parametrize("name", ["metaworld/ml1-push-v3", "cheetah-vel@promp", "navigation", "classic/cartpole"])
def test_calls_that_overlap_are_refused(
    goals: dict[str, list[envs.Task]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution = envs.make(name)
    tasks = tasks_of(distribution, goals, 1)
    inside, go_on = threading.Event(), threading.Event()
    with distribution.make(1, 1) as env, ThreadPoolExecutor(1) as pool:
        env.set_tasks(tasks)
        first = env.reset([0])
        step, action = env._step, np.asarray(distribution.action_space.sample())[None, None]

        def slow(*arguments: Any) -> Any:
            inside.set()
            assert go_on.wait(60)
            return step(*arguments)

        monkeypatch.setattr(env, "_step", slow)
        stepping = pool.submit(env.step, action)
        assert inside.wait(60)
        try:
            for call in (
                lambda: env.step(action),
                lambda: env.reset([0]),
                lambda: env.set_tasks(tasks),
                lambda: env.state(0, 0),
                lambda: env.flat().step(action[0]),
            ):
                with pytest.raises(RuntimeError, match=r"calls must not overlap: make environments for each thread"):
                    call()
        finally:
            go_on.set()
        seen = stepping.result()
        monkeypatch.setattr(env, "_step", step)
        assert np.array_equal(env.reset([0]), first)  # nothing was touched meanwhile, and other threads may call again
        assert np.array_equal(env.step(action).observation, seen.observation)


def test_calls_of_a_vector_env_that_overlap_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads in its engine at once would end the process."""
    inside, go_on = threading.Event(), threading.Event()
    stay = np.zeros((1, 4), np.float32)
    with closing(vector_env("MT1", "reach-v3", seed=1)) as env, ThreadPoolExecutor(1) as pool:
        env.reset()
        observe = env._observations

        def slow() -> Any:
            inside.set()
            assert go_on.wait(60)
            return observe()

        monkeypatch.setattr(env, "_observations", slow)
        stepping = pool.submit(env.step, stay)
        assert inside.wait(60)
        try:
            for call in (lambda: env.step(stay), env.reset, lambda: env.call("sample_tasks"), lambda: env.begin_one(0)):
                with pytest.raises(RuntimeError, match=r"calls must not overlap: make environments for each thread"):
                    call()
        finally:
            go_on.set()
        assert stepping.result()[0].shape == (1, 39)
        assert env.reset()[0].shape == (1, 39)


def test_a_call_within_a_call_leaves_the_outer_one_alone_in_it() -> None:
    class Nested:
        @one_thread_at_a_time
        def inner(self) -> None:
            """Nothing."""

        @one_thread_at_a_time
        def outer(self) -> str:
            self.inner()
            with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="must not overlap"):
                pool.submit(self.inner).result()
            return "done"

    nested = Nested()
    assert nested.outer() == "done"
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(nested.outer).result() == "done"
