"""Finitely many tasks of one's own: what is in which split, how they are drawn, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import envs
from envs.vector import GymDistribution
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config
from meta_rl.evaluation.episodes import evaluate
from tests.envs.test_vector import Line

LISTS = {"train": [[1.0], [2.0], [3.0]], "test": [np.array([1.5]), (2.5,)]}


def lines(split: str = "train", tasks: Any = None, sample: Any = None) -> GymDistribution:
    lists = LISTS if tasks is None else tasks
    return GymDistribution("line", Line, sample, 10, split=split, success_key="is_won", tasks=lists)


def test_a_split_has_the_tasks_of_its_list() -> None:
    train, test = lines(), lines("test")
    assert [task.vector for task in train.tasks() or []] == [(1.0,), (2.0,), (3.0,)]
    assert [task.vector for task in test.tasks() or []] == [(1.5,), (2.5,)]
    assert (train.num_tasks(), test.num_tasks()) == (3, 2)
    for distribution in (train, test):
        envs.check(distribution)
    listed = train.tasks()
    assert listed is not None
    listed.clear()  # a list of one's own
    assert train.num_tasks() == 3


def test_tasks_are_drawn_without_repeats_while_there_are_others() -> None:
    drawn = lines().sample(np.random.default_rng(0), 7)
    counts = sorted(drawn.count(task) for task in set(drawn))
    assert counts == [2, 2, 3]
    assert len(set(drawn[:3])) == len(set(drawn[3:6])) == 3
    assert lines().sample(np.random.default_rng(0), 7) == drawn
    drawn_by_function = lines(sample=lambda rng: [9.0]).sample(np.random.default_rng(0), 3)
    assert {task.vector for task in drawn_by_function} == {(1.0,), (2.0,), (3.0,)}


def test_an_evaluation_takes_every_test_task() -> None:
    config = default_config("random", "navigation")
    test = lines("test", {"train": [[0.0]], "test": [[float(n)] for n in range(1, 46)]})
    learner = make_learner(config, test)
    protocol = replace(config.evaluate, test_tasks=0, adaptation_steps=0, evaluation_episodes=1, judge_sampled=False)
    evaluation = evaluate(learner, learner.init().weights, test, protocol)
    assert [task.vector[0] for task in evaluation.tasks] == list(
        range(1, 46)
    )  # more than 40, the number of a continuum


def test_the_fingerprint_tells_lists_apart() -> None:
    first = lines().fingerprint()
    assert first["tasks"] == lines().fingerprint()["tasks"]
    others = [
        lines("test"),
        lines(tasks={"train": [[1.0], [2.0]]}),
        lines(tasks={"train": [[2.0], [1.0], [3.0]]}),
        lines(tasks={"train": [[1.0], [2.0], [3.5]]}),
    ]
    assert all(other.fingerprint()["tasks"] != first["tasks"] for other in others)
    plain = GymDistribution("line", Line, lambda rng: rng.random(1), 10)
    assert plain.fingerprint() == {"name": "line", "split": "train", "horizon": 10}
    assert plain.tasks() is None


@pytest.mark.parametrize(
    ("tasks", "split", "message"),
    [
        ({"train": [[1.0], [2.0]], "test": [[2.0]]}, "train", r"test\[0\] is train\[1\] again, \[2.0\]"),
        ({"train": [[1.0], [0.0]], "test": [[-0.0]]}, "test", r"test\[0\] is train\[1\] again"),
        ({"train": [[1], [1.0]]}, "train", r"train\[1\] is train\[0\] again"),
        ({"train": [[1.0]], "test": [[2.0, 3.0]]}, "train", r"test\[0\] has 2 numbers, the first task 1"),
        ({"train": [[1.0, 2.0], []]}, "train", r"train\[1\] has 0 numbers, the first task 2"),
        ({"train": [1.0, 2.0]}, "train", r"train\[0\] must be a list of finite numbers, got 1.0"),
        ({"train": [[[1.0]]]}, "train", r"train\[0\] must be a list of finite numbers"),
        ({"train": ["12"]}, "train", r"train\[0\] must be a list of finite numbers, got '12'"),
        ({"train": [["a"]]}, "train", r"train\[0\] must be a list of finite numbers"),
        ({"train": [[float("nan")]]}, "train", r"train\[0\] must be a list of finite numbers, got \[nan\]"),
        ({"train": [[1.0]]}, "test", "none for the split 'test'; given: train"),
        ({"train": [[1.0]], "test": []}, "test", "none for the split 'test'; given: train, test"),
        ({"train": [[1.0, [2.0]]]}, "train", r"train\[0\] must be a list of finite numbers"),
        ([[1.0]], "train", r'must be {"train": \[...\], "test": \[...\]}, got list'),
        ({}, "train", "none for the split 'train'; given: nothing"),
    ],
)
def test_lists_that_do_not_go_are_refused_in_one_line(tasks: Any, split: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^line: tasks: .*{message}|^line: tasks: {message}") as caught:
        lines(split, tasks)
    assert "\n" not in str(caught.value)


def test_without_tasks_and_without_a_function_nothing_is_made() -> None:
    with pytest.raises(ValueError, match="line: nothing says which tasks there are: give sample_vector, or tasks"):
        GymDistribution("line", Line, None, 10)
