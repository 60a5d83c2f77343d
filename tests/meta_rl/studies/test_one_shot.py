"""Lake's one-shot runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from meta_rl.agents.agent import load
from meta_rl.errors import ConfigError
from meta_rl.studies import one_shot
from meta_rl.studies.one_shot import one_shot_error
from tests.meta_rl.evaluation.test_compare_examples import run
from tests.meta_rl.fewshot_data import needs_omniglot


@needs_omniglot
def test_one_shot_runs_and_the_leak_that_is_refused(tmp_path: Path) -> None:
    sound = load(run(tmp_path, "small", "prototypical", "omniglot-small1-20way-1shot"))
    found = one_shot_error(sound)
    assert 0 < found["error"]["inductive"]["mean"] <= 100
    assert found["published"]["humans"] == 4.5
    rows = one_shot.error_table(
        [found, found | {"recipe": "other", "env": "omniglot-background-20way-1shot"}]
    ).splitlines()
    mean, interval = (found["error"]["inductive"][key] for key in ("mean", "interval"))
    assert f"| prototypical |  | {mean:.1f} +- {interval:.1f} |  |" in rows
    assert f"| other | {mean:.1f} +- {interval:.1f} |  |  |" in rows
    assert "| published: BPL (strokes) | 3.3 | 4.3 | 4.0 |" in rows
    assert "| published: deep convnet | 13.5 | 24.0 | 22.3 |" in rows
    leaking = load(run(tmp_path, "random", "prototypical", "omniglot-20way-1shot"))
    with pytest.raises(ConfigError, match="trains on characters of the one-shot runs"):
        one_shot_error(leaking)
    narrow = load(run(tmp_path, "narrow", "fomaml", "omniglot-small1-5way-1shot"))
    with pytest.raises(ConfigError, match="trained with 5 outputs, the runs have 20 classes"):
        one_shot_error(narrow)
