"""What the tables of the page say of a run."""

from __future__ import annotations

import json
from pathlib import Path

from meta_rl.visualise.page.tables import robustness


def test_robustness_counts_what_each_iteration_says(tmp_path: Path) -> None:
    timing = [{"iteration": i, "time/sample": 0.5, "workers/restarts": float(i == 2)} for i in (1, 2, 3)]
    (tmp_path / "timing.jsonl").write_text("".join(json.dumps(row) + "\n" for row in timing))
    rows = [{"iteration": i, "return/stage_0": 1.0, "guard/discarded_episodes": float(i)} for i in (1, 2, 3)]
    (tmp_path / "resumes.jsonl").write_text('{"iteration": 2}\n')
    assert robustness(tmp_path, rows)["rows"] == [
        ["resumed from a checkpoint", "1 times (after iteration 2)"],
        ["guard: discarded episodes", "6 in 3 iterations"],
        ["workers: restarts", "1 in 3 iterations"],
    ]
