"""How far a run is can be asked while it trains, and changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from meta_rl.config import TrainConfig, load_config, replace_paths
from meta_rl.errors import ConfigError
from meta_rl.runs import durable
from meta_rl.runs.log import TAIL, last_row, read_rows
from meta_rl.runs.standing import read_standing


def test_a_run_is_in_progress_as_long_as_it_is_held(kept: Path) -> None:
    config = load_config(kept / "config.json")
    rows = read_rows(kept / "metrics.jsonl")
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
    assert read_standing(kept, config).state == "finished"
    with durable.lock(kept):
        held = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
        found = read_standing(kept, config)
        assert (found.state, found.running, found.complete) == ("in progress", True, False)
        assert (found.iteration, found.iterations, found.env_steps) == (4, 4, rows[-1]["env_steps"])
        assert found.words() == "iteration 4 of 4, in progress"
        assert held == {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
        with pytest.raises(ConfigError, match="in use by another run"):
            durable.lock(kept)
    assert read_standing(kept, config).words() == "iteration 4 of 4"
    assert before.keys() == held.keys()


def test_who_looks_keeps_nobody_out(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that begins to train while another looks tries again."""
    (kept / ".lock").touch()
    with open(kept / ".lock", "rb") as looking:
        assert durable.lock_file(looking, shared=True)
        assert not durable.in_use(kept)  # others may look meanwhile
        monkeypatch.setattr(durable.time, "sleep", lambda seconds: looking.close())
        with durable.lock(kept):
            assert durable.in_use(kept)


def test_a_run_that_is_to_have_more_is_stopped(kept: Path) -> None:
    config = replace_paths(load_config(kept / "config.json"), {"iterations": 9})
    assert read_standing(kept, config).words() == "iteration 4 of 9, stopped"
    shutil.rmtree(kept / "checkpoints")
    (kept / "metrics.jsonl").unlink()
    assert read_standing(kept, config).iteration == 0
    (kept / "checkpoints" / "00000007").mkdir(parents=True)
    assert read_standing(kept, config).iteration == 7


def test_an_agent_has_the_counters_of_its_run() -> None:
    folder = Path(__file__).parents[3] / "zoo" / "maml-trpo_reach"
    found = read_standing(folder, load_config(folder / "config.json"))
    manifest = json.loads((folder / "agent.json").read_text())
    assert (found.iteration, found.env_steps) == (manifest["iteration"], manifest["env_steps"])
    assert (found.words(), found.complete) == ("iteration 20, exported", True)


@pytest.mark.parametrize("width", [1, TAIL // 3, TAIL, 2 * TAIL])
@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_the_last_row_is_the_last_of_all(width: int, rows: int, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_row(path) == {}
    lines = [json.dumps({"iteration": i, "x" * width: 0.5}) + "\n" for i in range(rows)]
    for unfinished in ("", '{"iteration": 7'):
        path.write_text("".join(lines) + unfinished)
        assert last_row(path) == (read_rows(path) or [{}])[-1]


def test_a_run_without_iterations_is_finished_once_it_has_its_checkpoint(tiny: Callable[..., TrainConfig]) -> None:
    config = tiny(iterations=0)
    config.path.mkdir()
    assert read_standing(config.path, config).state == "stopped"
    (config.path / "checkpoints" / "00000000").mkdir(parents=True)
    assert read_standing(config.path, config).state == "finished"
