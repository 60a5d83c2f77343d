"""The two forms of ``evaluation.json``: what is written is read, files of earlier versions too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from meta_rl.evaluation.forms import read_stage, write_stage
from meta_rl.evaluation.record import evaluations, files, read_record_file, write_record_file
from meta_rl.evaluation.scores import INDUCTIVE, MODE, SAMPLED, TRANSDUCTIVE, Record, Score, Stage, score_cells, show
from tests.meta_rl.evaluation.records import as_json, from_json, record_of
from tests.meta_rl.evaluation.test_report import evaluation


def examples() -> Record:
    """Two episodes, scored before and after one step: accuracies 0.2 and 0.4, then 0.5 and 0.7; inductive ones 0.1
    less."""
    values = np.array([[0.2, 0.5], [0.4, 0.7]])[..., None]  # [episode, stage, 1]
    ways = {TRANSDUCTIVE: {"accuracy": values}, INDUCTIVE: {"accuracy": values - 0.1}}
    stages = [
        Stage(k, {way: {name: Score.normal(v[:, k, 0]) for name, v in found.items()} for way, found in ways.items()})
        for k in (0, 1)
    ]
    baselines = {"chance": {"accuracy": Score.around(0.2, 0.0)}}
    return Record("run", 7, 0, "test", {}, {}, {}, 2, stages, ways, baselines=baselines)


def test_a_policy_is_written_in_numbers_with_prefixes() -> None:
    """Half of four tasks are solved after adaptation, in the family reach; 3 of 4 sampled episodes."""
    record = record_of(evaluation(3))
    found = as_json(record)
    assert found["stages"][1]["success"] == 0.5
    assert found["stages"][1]["success_interval"] == [0.5, 0.5]  # within families nothing varies
    assert found["stages"][1]["success_by_family"] == {"reach": 1.0, "push": 0.0}
    assert found["stages"][1]["sampled_success"] == 0.75
    assert found["per_task"][0] == {
        "family": "reach",
        "vector": [0.0],
        "returns": [[10.0], [10.0]],
        "solved": [[False], [True]],
        "sampled_returns": [[7.0] * 3] * 2,
        "sampled_solved": [[True] * 3, [True] * 3],
    }
    assert as_json(from_json(found)) == found
    assert from_json(found).stages == record.stages


def test_labelled_examples_are_written_by_way() -> None:
    """Mean 0.3 of 0.2 and 0.4, whose standard deviation is 0.2 / sqrt 2: half width 1.96 * 0.2 / 2."""
    record = examples()
    found = as_json(record)
    first = found["stages"][0]
    assert first["transductive"]["accuracy"] == {"mean": pytest.approx(0.3), "interval": pytest.approx(0.196)}
    assert first["inductive"]["accuracy"]["mean"] == pytest.approx(0.2)
    assert found["per_task"]["points"] == [0, 1]
    assert found["per_task"]["transductive"] == {"accuracy": [[0.2, 0.5], [0.4, 0.7]]}
    assert found["baselines"] == {"chance": {"accuracy": {"mean": 0.2, "interval": 0.0}}}
    assert as_json(from_json(found)) == found
    assert from_json(found).stages == record.stages


def test_evaluations_without_sampled_actions_are_read() -> None:
    record = from_json(as_json(record_of(evaluation(0))))
    assert record.ways == [MODE]
    assert list(record.values) == [MODE]
    assert record_of(evaluation(3)).ways == [MODE, SAMPLED]


def test_evaluations_of_an_earlier_version_are_left_out(tmp_path: Path) -> None:
    place, own = files(tmp_path), files(tmp_path, 1)
    write_record_file(record_of(evaluation(3)), own.evaluation)
    found = as_json(record_of(evaluation(3)))
    del found["train_env_steps"]
    place.evaluation.write_text(json.dumps(found))
    assert read_record_file(place.evaluation) is None
    assert [where for where, _ in evaluations(tmp_path, 1)] == [own]
    assert list(evaluations(tmp_path, 2)) == []


def test_a_stage_over_seeds_says_what_each_seed_has() -> None:
    """Of 1 and 3 the standard deviation is sqrt 2."""
    stage = Stage(1, {way: {"mse": Score.around(2.0, 0.5, (1.0, 3.0))} for way in (TRANSDUCTIVE, INDUCTIVE)})
    found = json.loads(json.dumps(write_stage(stage)))
    over_seeds = {"seed_sd": pytest.approx(2**0.5), "by_seed": [1.0, 3.0]}
    assert found["inductive"]["mse"] == {"mean": 2.0, "interval": 0.5, **over_seeds}
    assert read_stage(found) == stage


@pytest.mark.parametrize(
    ("name", "score", "said"),
    [
        ("success", Score(0.5, 0.25, 1.0), "50.0% (25.0% to 100.0%)"),
        ("return", Score(-3.0, -4.5, 10.0), "-3.00 (-4.50 to 10.00)"),
        ("accuracy", Score.around(0.98765, 0.00123), "98.77 +- 0.12 %"),
        ("mse", Score.around(0.5, 0.25), "0.500 +- 0.250"),
        ("mse", Score.around(2.0, 0.5, (1.0, 3.0)), "2.000 +- 0.500, sd 1.414"),
        ("accuracy", Score.around(0.5, 0.25, (0.5,)), "50.00 +- 25.00 %"),
    ],
)
def test_scores_in_words(name: str, score: Score, said: str) -> None:
    assert show(name, score) == said


def test_one_table_for_both_kinds() -> None:
    """Transductive scores are left out of a report where they tell nothing; the page shows them."""
    record = examples()
    assert score_cells(record, "steps", ["0", "1"], record.ways) == [
        ["steps", "accuracy, inductive"],
        ["0", "20.00 +- 19.60 %"],
        ["1", "50.00 +- 19.60 %"],
        ["chance", "20.00 +- 0.00 %"],
    ]
    head = score_cells(record, "steps", ["0", "1"], [TRANSDUCTIVE, INDUCTIVE])[0]
    assert head == ["steps", "accuracy, transductive", "accuracy, inductive"]
