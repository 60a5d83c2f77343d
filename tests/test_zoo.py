"""The agents of zoo/ do what is recorded of them, and the script that puts them there refuses what does not belong."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import envs
from meta_rl import load
from meta_rl.cli import main
from meta_rl.config import RECIPES, EvaluateConfig, from_dict, load_config
from meta_rl.evaluation.episodes import evaluate
from tests.meta_rl.conftest import TINY_OPTIONS
from tests.test_commands import script

ZOO = Path(__file__).parent.parent / "zoo"
AGENTS = script("zoo").agents(ZOO)
FIRST = list({RECIPES[load_config(f / "config.json").recipe].learner: f for f in reversed(AGENTS)}.values())
"""One of each learner: adapting takes seconds."""
needs_agents = pytest.mark.skipif(not AGENTS, reason="zoo/ holds no agents yet")
BEFORE, AFTER = (0.1, 0.05), (0.3, 0.3)
"""On a processor, or with a torch, that gives other last digits: in how large a part of the tasks success may differ
from the recorded one, and by what part the mean return. Equal machines give equal bits. With all parameters off by a
ten-millionth, agents on push-v3 solved the same tasks before adaptation, with mean returns within 0.3 %; after it, when
hundreds of pushes had multiplied the difference, 1 of 10 tasks had changed sides, at a millionth 3, with mean returns
off by 6 and 16 %. An agent that was damaged solves none, for a hundredth of the return."""


def compare(folder: Path, stages: int) -> None:
    """The first batch of the recorded tasks, played again before adaptation and through `stages` - 1 steps of it."""
    recorded = json.loads((folder / "evaluation.json").read_text())
    protocol = from_dict(EvaluateConfig, recorded["protocol"])
    protocol = dataclasses.replace(protocol, adaptation_steps=stages - 1, judge_sampled=False)
    agent = load(folder)
    assert (agent.iteration, agent.env_steps) == (recorded["iteration"], recorded["train_env_steps"])
    chosen = range(min(protocol.tasks_at_once, recorded["tasks"]))
    found = evaluate(agent.learner, agent.weights, envs.make(agent.config.env, "test"), protocol, chosen)
    kept = [recorded["per_task"][i] for i in chosen]
    assert [(task.family, list(task.vector)) for task in found.tasks] == [(t["family"], t["vector"]) for t in kept]
    returns = np.array([task["returns"][:stages] for task in kept])
    solved = np.array([task["solved"][:stages] for task in kept])
    if np.array_equal(found.returns, returns) and np.array_equal(found.solved, solved):
        return  # equal bits
    for stage in range(stages):
        flipped, drift = AFTER if stage else BEFORE
        assert (found.solved[:, stage] != solved[:, stage]).mean() <= flipped
        assert found.returns[:, stage].mean() == pytest.approx(returns[:, stage].mean(), rel=drift)


@needs_agents
@pytest.mark.parametrize("folder", AGENTS, ids=lambda folder: folder.name)
def test_an_agent_plays_as_recorded_before_adaptation(folder: Path) -> None:
    compare(folder, 1)


@needs_agents
@pytest.mark.parametrize("folder", FIRST, ids=lambda folder: folder.name)
def test_an_agent_adapts_as_recorded(folder: Path) -> None:
    compare(folder, len(json.loads((folder / "evaluation.json").read_text())["stages"]))


def test_agents_fit_into_the_repository() -> None:
    script("zoo").check_sizes(ZOO)
    for folder in AGENTS:
        assert folder.name == script("zoo").name_of(load_config(folder / "config.json"))
        names = {path.name for path in folder.iterdir()} - {"results"}
        assert names == {"README.md", "agent.json", "config.json", "evaluation.json", "model.safetensors"}


def test_the_table_is_that_of_the_agents() -> None:
    assert (ZOO / "README.md").read_text() == script("zoo").page(ZOO), "run python scripts/zoo.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and evaluated run."""
    path = tmp_path_factory.mktemp("runs") / "run"
    assert main([*TINY_OPTIONS, "--iterations", "1", "--run-dir", str(path)]) == 0
    return path


@pytest.fixture
def made(run: Path, tmp_path: Path) -> Path:
    """A zoo with one agent."""
    script("zoo").main([str(run), "--zoo", str(tmp_path / "zoo")])
    return tmp_path / "zoo"


def test_a_run_becomes_an_agent_with_its_evaluation(run: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made / "maml-trpo_navigation"
    compare(folder, 2)
    recorded = (folder / "evaluation.json").read_text()
    assert json.loads(recorded) == json.loads((run / "evaluation.json").read_text())
    assert recorded.count("\n") == 1
    table = (made / "README.md").read_text()
    assert "| [maml-trpo_navigation](maml-trpo_navigation/README.md) | maml-trpo | navigation, seed 0 |" in table
    assert "`meta-rl evaluate zoo/maml-trpo_navigation` |" in table


def test_what_is_found_of_an_agent_lies_beside_it(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made / "maml-trpo_navigation"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["evaluate", str(folder), "--test-tasks", "2"]) == 0
    assert main(["report", str(folder)]) == 0
    assert main(["record", str(folder), "--test-tasks", "2"]) == 0
    assert main(["compare", str(folder)]) == 0
    assert "2 test tasks" in capsys.readouterr().out  # of the later evaluation
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    found = {path.name for path in (folder / "results").iterdir()}
    assert found == {"evaluation.json", "report.md", "report.html", "trajectories.npz", "episodes"}
    script("zoo").main(["--zoo", str(made)])
    assert "| 4 | " in (made / "README.md").read_text()  # the table tells of the recorded one


def test_what_does_not_belong_is_refused(run: Path, tmp_path: Path) -> None:
    zoo = script("zoo")
    shutil.copytree(run, tmp_path / "twin")
    shutil.copytree(run, tmp_path / "later")
    path = tmp_path / "later" / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"iteration": 0}))
    for runs, said in (
        ([tmp_path / "none"], "RUN: .*none is not a run directory"),
        ([run, tmp_path / "twin"], "are both maml-trpo_navigation; name one of them"),
        ([tmp_path / "later"], "was evaluated after 0 iterations and has 1 by now"),
    ):
        with pytest.raises(SystemExit, match=said):
            zoo.main([*map(str, runs), "--zoo", str(tmp_path / "zoo")])
    assert not (tmp_path / "zoo").exists()


def test_a_large_agent_is_refused(made: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo = script("zoo")
    before = {path.name: path.read_bytes() for path in made.glob("*/*")}
    monkeypatch.setattr(zoo, "LARGEST", 0.001)
    with pytest.raises(SystemExit, match=r"maml-trpo_navigation: 0.0 MB; at most 0.001 MB fit"):
        zoo.main([str(run), "--zoo", str(made)])
    assert {path.name: path.read_bytes() for path in made.glob("*/*")} == before
