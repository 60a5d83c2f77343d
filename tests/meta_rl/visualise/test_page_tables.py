"""What the tables of the page say of a run."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import Task
from meta_rl.config import TrainConfig, default_config, from_dict, replace_paths, settled, to_dict
from meta_rl.evaluation.episodes import Evaluation
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.scores import Record
from meta_rl.evaluation.words import StageNames
from meta_rl.visualise.page.examples import ExamplesPage
from meta_rl.visualise.page.headline import share, with_digits_of
from meta_rl.visualise.page.policies import PolicyPage, protocol_rows
from meta_rl.visualise.page.tables import commands_to_repeat, robustness, training_table, words
from tests.meta_rl.evaluation.records import record_of
from tests.meta_rl.evaluation.test_forms import examples


def test_robustness_counts_what_each_iteration_says(tmp_path: Path) -> None:
    timing = [{"iteration": i, "time/sample": 0.5, "workers/restarts": float(i == 2)} for i in (1, 2, 3)]
    (tmp_path / "timing.jsonl").write_text("".join(json.dumps(row) + "\n" for row in timing))
    rows = [{"iteration": i, "return/stage_0": 1.0, "guard/discarded_episodes": float(i)} for i in (1, 2, 3)]
    (tmp_path / "resumes.jsonl").write_text('{"iteration": 2}\n')
    assert robustness(tmp_path, rows)["rows"] == [
        ["resumed from a checkpoint", "1 time (after iteration 2)"],
        ["guard: discarded episodes", "6 in 3 iterations"],
        ["workers: restarts", "1 in 3 iterations"],
    ]


def test_training_says_what_differs_and_has_all_else_folded() -> None:
    default = default_config("maml-trpo", "navigation")
    config = replace_paths(default, {"algorithm.inner_lr": 0.5, "network.hidden": (8, 4), "evaluate.test_tasks": 3})
    table = training_table(config)
    usual = default.algorithm.inner_lr  # type: ignore[attr-defined]
    assert table["rows"] == [
        ["inner lr (algorithm)", f"0.5\ndefault {usual}"],
        ["hidden (network)", "8, 4\ndefault 100, 100"],
    ]
    folded = dict(table["folded"]["rows"])
    assert table["folded"]["summary"] == f"All {len(folded)} settings"
    assert (folded["meta batch size"], folded["test tasks (evaluate)"], folded["start from"]) == ("20", "3", "not set")
    held = base64.b64decode(table["folded"]["link"].partition("base64,")[2])
    assert from_dict(TrainConfig, json.loads(held)) == config


def test_training_by_the_defaults_says_so() -> None:
    table = training_table(settled(default_config("maml-trpo", "navigation")))
    assert table["rows"] == []
    assert table["note"] == "All settings are the defaults of maml-trpo on navigation."


def adapting(
    returns: list[list[float]], families: list[str], solved: list[list[bool]] | None = None, **changes: Any
) -> Record:
    """An evaluation of tasks with returns ``[task][stage]``."""
    values = np.array(returns)[..., None]
    met = np.zeros(values.shape, bool) if solved is None else np.array(solved)[..., None]
    tasks = [Task(family, (float(i),)) for i, family in enumerate(families)]
    nothing = np.zeros((*values.shape[:2], 0))
    steps = np.zeros((len(tasks), values.shape[1] - 1, 2))
    found = Evaluation(tasks, values, met, nothing, nothing.astype(bool), steps, 99)
    return record_of(found, **{"has_success": solved is not None, "deterministic_episodes": False, **changes})


def stats(record: Record, **changes: Any) -> list[dict[str, Any]]:
    config = replace_paths(default_config("maml-trpo", "navigation"), changes)
    return PolicyPage().stats(Evaluated(Path("run"), config, record), StageNames())


def test_the_headline_is_the_step_that_training_aimed_at_and_names_the_best() -> None:
    """Training takes one step; the third stage is that of two, and solves more."""
    solved = [[False, k < 1, k < 2] for k in range(4)]
    (success, _) = stats(adapting([[0.0, 1.0, 2.0]] * 4, ["f"] * 4, solved))
    assert (success["before"], success["after"]) == ("0%", "25%")
    assert "then after 1 adaptation step, as many as in training" in success["note"]
    assert "highest after 2 adaptation steps: 50%" in success["note"]
    (success, _) = stats(adapting([[0.0, 1.0, 2.0]] * 4, ["f"] * 4, solved), **{"algorithm.inner_steps": 2})
    assert success["after"] == "50%"
    assert "highest" not in success["note"]


@pytest.mark.parametrize(
    ("gains", "mood", "change"),
    [
        ([5.0, 5.0, 5.0, 5.0], "better", "better: +5.0 (95 % interval +5.0 to +5.0)"),
        (
            [-5.0, -5.0, -5.0, -5.0],
            "worse",
            "worse: \N{MINUS SIGN}5.0 (95 % interval \N{MINUS SIGN}5.0 to \N{MINUS SIGN}5.0)",
        ),
        ([0.0, 0.0, 0.0, 0.0], "", "no difference on any task"),
    ],
)
def test_the_headline_says_better_or_worse(gains: list[float], mood: str, change: str) -> None:
    (found,) = stats(adapting([[50.0 + k, 50.0 + k + gain] for k, gain in enumerate(gains)], ["f"] * 4))
    assert (found["mood"], found["change"]) == (mood, change)


def test_one_task_and_no_adaptation_promise_nothing() -> None:
    (found,) = stats(adapting([[1.0, 5.0]], ["f"]))
    assert (found["mood"], found["change"]) == ("", "too few tasks to say: +4.00")
    (alone,) = stats(adapting([[1.0], [2.0]], ["f", "f"]))
    assert "after" not in alone
    assert "change" not in alone


def test_families_of_different_scale_share_a_headline() -> None:
    """Both families rise from their lowest to their highest, the one by 1 and the other by 1000."""
    record = adapting([[0.0, 1.0], [0.0, 1.0], [0.0, 1000.0], [0.0, 1000.0]], ["a", "a", "b", "b"])
    (found,) = stats(record)
    assert (found["before"], found["after"], found["mood"]) == ("0.00", "1.00", "better")
    assert "the lowest of each family is 0" in found["note"]
    lines = PolicyPage().lines(record, "return", StageNames())
    assert lines.series[-1].ys == [0.0, 1.0]
    run = Evaluated(Path("run"), default_config("maml-trpo", "metaworld/ml10"), record)
    tables = {table["title"]: table for table in PolicyPage().tables(run, StageNames())}
    assert tables["By family"]["rows"] == [["a", "0.00", "1.00"], ["b", "0.00", "1000.00"]]
    assert "different scale" in tables["Numbers"]["note"]


def test_accuracy_of_examples_rises_by_points() -> None:
    """Inductive accuracies 0.1 and 0.3 become 0.4 and 0.6: both rise by 0.3."""
    run = Evaluated(Path("run"), default_config("maml", "omniglot-5way-1shot"), examples())
    (found,) = ExamplesPage().stats(run, StageNames())
    assert (found["before"], found["after"], found["mood"]) == ("20%", "50%", "better")
    assert found["change"] == "better: +30 points (95 % interval +30 to +30 points)"
    assert "before adaptation, then after 1 adaptation step" in found["note"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([-0.00001, 0.02], ["0.000", "0.020"]),
        ([-0.04, 3.0], ["-0.04", "3.00"]),
        ([-0.04, 30.0], ["0.0", "30.0"]),
        ([-4754.7, 2.0], ["-4,755", "2"]),
    ],
)
def test_numbers_have_digits_that_tell_them_apart_and_no_negative_zero(values: list[float], said: list[str]) -> None:
    assert [with_digits_of(*values)(value) for value in values] == said
    assert share(0.05) == "5%"
    assert share(0.333) == "33.3%"


PROTOCOL = {"test_tasks": 0, "adaptation_episodes": 10, "shown_steps": [], "stock_goals": 0, "evaluation_seed": 0}


@pytest.mark.parametrize(
    ("names", "stages", "practice"),
    [
        (StageNames(False, 10), 2, "10 episodes with sampled actions before the adaptation step"),
        (StageNames(False, 1), 4, "1 episode with sampled actions before each of 3 adaptation steps"),
        (StageNames(True, 2), 3, "4 episodes with sampled actions, each remembered in those after it"),
        (StageNames(False, 10), 1, "none"),
    ],
)
def test_the_protocol_says_what_happened(names: StageNames, stages: int, practice: str) -> None:
    found = dict(protocol_rows(adapting([[0.0] * stages] * 3, ["f"] * 3, protocol=PROTOCOL), names))
    assert found == {
        "tasks": "3 test tasks",
        "practice": practice,
        "judged by": "1 episode with mode actions at each stage",
        "begins with": "the meta-parameters, for every task anew",
        "seed": "0, of tasks and noise; the same for all runs",
    }


def test_what_applies_is_told() -> None:
    record = adapting([[0.0, 1.0]] * 2, ["a", "b"], [[False, True]] * 2, protocol=PROTOCOL | {"stock_goals": 1})
    found = dict(protocol_rows(record, StageNames()))
    assert found["tasks"] == "2 test tasks of 2 families"
    assert found["success"] == "at any step of an episode"
    assert found["beside it"] == "Meta-World's own evaluator on 1 goal per family"


def test_values_are_words() -> None:
    values = {"goal_visible": False, "families": ["a", "b"], "none": None, "empty": [], "text": "", "zero": 0}
    assert words(values) == [["goal visible", "no"], ["families", "a, b"], ["zero", "0"]]


def test_the_protocol_of_the_run_needs_no_options() -> None:
    config = default_config("maml", "sinusoid-5shot")
    record = examples()

    def options(**changes: Any) -> str:
        protocol = to_dict(config.evaluate) | changes
        return commands_to_repeat(Evaluated(Path("a run"), config, replace(record, protocol=protocol)))[1]

    assert options() == "meta-rl evaluate 'a run'"
    assert options(shown_steps=[0, 2]) == "meta-rl evaluate 'a run' --shown-steps 0 2"
    assert options(test_tasks=7, judge_sampled=False).endswith("--test-tasks 7 --judge-sampled False")
