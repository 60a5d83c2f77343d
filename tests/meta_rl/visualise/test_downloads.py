"""The evaluation as the files that a page holds."""

from __future__ import annotations

import csv

from meta_rl.evaluation.scores import INDUCTIVE
from meta_rl.visualise.page.downloads import evaluation_csv
from tests.meta_rl.evaluation.test_forms import examples


def test_a_row_for_each_episode() -> None:
    record = examples()
    rows = list(csv.DictReader(evaluation_csv(record).splitlines()))
    values = record.values[INDUCTIVE]
    (name, numbers), *_ = values.items()
    found = [float(row[name]) for row in rows if row["judged_by"] == INDUCTIVE]
    assert found == numbers.ravel().tolist()
    assert "family" not in rows[0]
