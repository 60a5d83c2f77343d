"""A run begins with what another agent has learned, bit for bit, or says in one line why it cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from meta_rl.agents.agent import load
from meta_rl.agents.bundle import read_bundle, write_bundle
from meta_rl.cli import main
from meta_rl.config import RECIPES, TrainConfig, default_config, load_config, replace_paths, to_dict, without_places
from meta_rl.core.types import Params
from meta_rl.errors import ConfigError
from meta_rl.handover.export import export
from meta_rl.runs.checkpoint import CheckpointWarning
from meta_rl.runs.durable import CheckpointError
from meta_rl.runs.problem import open_problem
from meta_rl.training.train import train, train_iteration
from tests.meta_rl.conftest import TINY, TINY_OPTIONS
from tests.meta_rl.training.test_train import assert_same_run, final, quiet

Tiny = Callable[..., TrainConfig]
NORMALISED = {"network.normalise_observations": True}


def small(recipe: str, folder: Path, env: str = "navigation", **changes: Any) -> TrainConfig:
    sizes = {key: value for key, value in TINY.items() if not key.startswith("evaluate")}
    return replace_paths(default_config(recipe, env), {**sizes, "iterations": 2, "run_dir": str(folder), **changes})


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``sources(recipe, env, **changes)``: a small trained run, the same one every time."""
    made: dict[str, Path] = {}

    def make(recipe: str, env: str = "navigation", **changes: Any) -> Path:
        key = repr((recipe, env, changes))
        if key not in made:
            made[key] = train(small(recipe, tmp_path_factory.mktemp("source") / "run", env, **changes), quiet)
        return made[key]

    return make


def same(a: Params, b: Params) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def begun(recipe: str, start: Path, folder: Path, **changes: Any) -> Any:
    """The state of a new run from `start` before its first iteration."""
    return final(train(small(recipe, folder, iterations=0, start_from=str(start), **changes), quiet))


def test_weights_and_statistics_are_taken_bit_for_bit_and_the_optimizer_begins_anew(
    sources: Callable[..., Path], tmp_path: Path
) -> None:
    source = sources("maml-ppo", **NORMALISED)
    theirs, mine = final(source), begun("maml-ppo", source, tmp_path / "run", **NORMALISED)
    assert same(mine.params, theirs.params)
    assert same(mine.statistics, theirs.statistics)
    assert float(theirs.statistics["seen"]) == theirs.env_steps > 0
    assert theirs.optimizer
    assert mine.optimizer == {}
    assert (mine.iteration, mine.env_steps) == (0, theirs.env_steps)
    fresh = open_problem(small("maml-ppo", tmp_path)).learner.init()
    assert not same(mine.params, fresh.params)


def test_the_first_iteration_is_one_of_the_agent_it_came_from(sources: Callable[..., Path], tmp_path: Path) -> None:
    """By hand: its weights in a new state, and one iteration of the training loop."""
    source = sources("maml-trpo", **NORMALISED)
    config = small("maml-trpo", tmp_path / "run", iterations=1, seed=5, start_from=str(source), **NORMALISED)
    found = final(train(config, quiet))
    problem = open_problem(config)
    state, theirs = problem.learner.init(), final(source)
    state.params, state.statistics = theirs.params, theirs.statistics
    train_iteration(state, problem.source(), problem.learner, torch.device("cpu"))
    assert same(found.params, state.params)
    assert same(found.statistics, state.statistics)
    assert not same(found.statistics, theirs.statistics)


@pytest.mark.parametrize(
    ("theirs", "mine", "shared"),
    [
        ("multitask-trpo", "maml-trpo", "none"),
        ("maml-trpo", "metasgd-trpo", "own"),
        ("metasgd-trpo", "metasgd-trpo", "theirs"),
        ("metasgd-trpo", "maml-ppo", "none"),
        ("reptile", "metasgd-trpo", "own"),  # theirs are second moments, no step sizes
    ],
)
def test_recipes_with_the_same_network_take_over_from_each_other(
    sources: Callable[..., Path], tmp_path: Path, theirs: str, mine: str, shared: str
) -> None:
    """Step sizes of an agent that has learned some; else the new run's own first ones."""
    source = sources(theirs, **({"algorithm.inner_optimizer": "adam"} if theirs == "reptile" else {}))
    before, after = final(source), begun(mine, source, tmp_path / "run")
    own = open_problem(small(mine, tmp_path)).learner.init().shared
    assert same(after.params, before.params)
    assert same(after.shared, {"none": {}, "own": own, "theirs": before.shared}[shared])
    assert bool(after.shared) == RECIPES[mine].algorithm.__dict__.get("learn_inner_lr", False)
    if shared == "theirs":
        assert not same(before.shared, own)


ALIKE = {"network.hidden": (8,), "network.normalise_observations": False}


@pytest.mark.parametrize("theirs", ["dagger", "rl2"])
def test_a_value_head_is_read_in_the_units_that_it_was_learned_in(
    sources: Callable[..., Path], tmp_path: Path, theirs: str
) -> None:
    """By hand: what the head says, times the deviation of the agent's returns, plus their mean. What advantages leave
    of the spread of the targets is 1 minus the explained variance of the first iteration."""
    source = sources(theirs, **ALIKE)
    config = small("rl2", tmp_path / "run", iterations=1, start_from=str(source), **ALIKE)
    first = begun("rl2", source, tmp_path / "none", **ALIKE)
    assert same(first.extras, final(source).extras)
    problem: Any = open_problem(config)
    trials = problem.learner.trials(problem.source().sample(first.weights, 0).batch)
    said = problem.learner.policy.unroll(
        first.params, trials.inputs, torch.zeros(len(trials.inputs), problem.learner.policy.state_size)
    ).value.double()
    seen, mean, square = (float(final(source).extras[name]) for name in ("seen", "mean", "square"))
    value = (said * (square / seen) ** 0.5 + mean) * trials.weight
    following = torch.cat([value[:, 1:], torch.zeros_like(value[:, :1])], 1)
    delta = (trials.earned + config.algorithm.discount * following - value) * trials.weight  # type: ignore[attr-defined]
    decay = config.algorithm.discount * config.algorithm.gae_lambda  # type: ignore[attr-defined]
    advantage, running = torch.zeros_like(delta), torch.zeros_like(delta[:, 0])
    for t in reversed(range(delta.shape[1])):
        advantage[:, t] = running = delta[:, t] + decay * running
    valid = trials.weight > 0
    left = advantage[valid].square().mean() / (advantage + value)[valid].var(correction=0)
    row = json.loads((train(config, quiet) / "metrics.jsonl").read_text().splitlines()[0])
    assert row["value/explained_variance"] == pytest.approx(1 - float(left), abs=1e-4)


@pytest.mark.parametrize("recipe", ["pearl", "rl2-sac"])
def test_critics_and_their_temperature_come_along(sources: Callable[..., Path], tmp_path: Path, recipe: str) -> None:
    brief = {"network.hidden": (8,), "network.critic_hidden": (8,), "algorithm.update_steps": 3}
    brief |= {"algorithm.context_size": 20} if recipe == "pearl" else {"algorithm.update_trials": 2}
    source = sources(recipe, **brief)
    theirs, mine = final(source), begun(recipe, source, tmp_path / "run", **brief)
    assert {"log_temperature"} < theirs.extras.keys()
    assert same(mine.extras, theirs.extras)
    assert not mine.replay


def test_where_values_are_in_other_units_or_there_are_none_a_run_begins_with_its_own(
    sources: Callable[..., Path], tmp_path: Path
) -> None:
    """Compressed returns are others, and agents that were exported by an earlier version have none."""
    student = sources("dagger", **ALIKE)
    fresh = {"seen": 0.0, "mean": 0.0, "square": 0.0}
    compressed = begun("rl2", student, tmp_path / "compressed", **ALIKE, **{"algorithm.compress_returns": True})
    earlier = export(student, tmp_path / "earlier")
    write_bundle(earlier, load_config(earlier / "config.json"), replace(read_bundle(earlier), returned={}))
    without = begun("rl2", earlier, tmp_path / "without", **ALIKE)
    for state in (compressed, without):
        assert {name: float(x) for name, x in state.extras.items()} == fresh
        assert same(state.params, final(student).params)


def test_an_exported_agent_holds_the_units_of_its_values(sources: Callable[..., Path], tmp_path: Path) -> None:
    student = sources("dagger", **ALIKE)
    folder = export(student, tmp_path / "agent")
    assert float(final(student).extras["seen"]) > 0
    assert same(begun("rl2", folder, tmp_path / "run", **ALIKE).extras, final(student).extras)
    again = export(tmp_path / "run", tmp_path / "again")
    assert same(load(again).extras, final(student).extras)


def test_an_exported_agent_will_do(sources: Callable[..., Path], tmp_path: Path) -> None:
    source = sources("maml-trpo", **NORMALISED)
    folder = export(source, tmp_path / "agent")
    run = begun("maml-trpo", folder, tmp_path / "run", **NORMALISED)
    assert same(run.params, final(source).params)
    assert same(run.statistics, final(source).statistics)
    handed = export(tmp_path / "run", tmp_path / "again")
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in handed.iterdir())
    assert load(handed).config.start_from == ""


def test_a_few_shot_learner_too(sources: Callable[..., Path], tmp_path: Path) -> None:
    source = sources("maml", "sinusoid-5shot")
    run = train(small("metasgd", tmp_path / "run", "sinusoid-5shot", iterations=0, start_from=str(source)), quiet)
    assert same(final(run).params, final(source).params)


def test_the_run_remembers_where_it_came_from(sources: Callable[..., Path], tmp_path: Path) -> None:
    source = sources("multitask-trpo", seed=3)
    begun("maml-trpo", source, tmp_path / "run")
    about = json.loads((tmp_path / "run" / "environment.json").read_text())
    steps = final(source).env_steps
    expected = {"recipe": "multitask-trpo", "env": "navigation", "seed": 3, "iteration": 2, "env_steps": steps}
    assert about["start"] == {**expected, "config": to_dict(without_places(load(source).config))}
    assert str(source) not in json.dumps(about)
    train(small("maml-trpo", tmp_path / "plain", iterations=0), quiet)
    assert "start" not in json.loads((tmp_path / "plain" / "environment.json").read_text())


def test_a_resumed_run_needs_the_folder_no_more(sources: Callable[..., Path], tmp_path: Path) -> None:
    shutil.copytree(sources("maml-ppo", **NORMALISED), tmp_path / "source")
    changes = {"start_from": str(tmp_path / "source"), **NORMALISED}
    whole = train(small("maml-ppo", tmp_path / "whole", iterations=3, **changes), quiet)
    train(small("maml-ppo", tmp_path / "parts", iterations=1, **changes), quiet)
    shutil.rmtree(tmp_path / "source")
    assert_same_run(whole, train(small("maml-ppo", tmp_path / "parts", iterations=3, **changes), quiet))
    with pytest.raises(ConfigError, match=r"--run-dir: .*start_from: .*/source -> "):
        train(small("maml-ppo", tmp_path / "parts", iterations=4, **NORMALISED), quiet)


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_from_there_again(
    sources: Callable[..., Path], tmp_path: Path
) -> None:
    config = small("maml-trpo", tmp_path / "run", start_from=str(sources("multitask-trpo")))
    whole = train(replace_paths(config, {"run_dir": str(tmp_path / "whole")}), quiet)
    (config.path / "checkpoints" / ".tmp-00000001-77").mkdir(parents=True)
    shutil.copy(whole / "config.json", config.path)
    text = (config.path / "config.json").read_text().replace(str(whole), str(config.path))
    (config.path / "config.json").write_text(text)
    assert_same_run(whole, train(config, quiet))


def no_run(tmp_path: Path, sources: Callable[..., Path]) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def without_checkpoint(tmp_path: Path, sources: Callable[..., Path]) -> Path:
    shutil.copytree(sources("maml-trpo"), tmp_path / "source")
    shutil.rmtree(tmp_path / "source" / "checkpoints")
    return tmp_path / "source"


def unreadable(tmp_path: Path, sources: Callable[..., Path]) -> Path:
    shutil.copytree(sources("maml-trpo"), tmp_path / "source")
    (tmp_path / "source" / "config.json").write_text("{")
    return tmp_path / "source"


REFUSED: dict[str, tuple[Callable[[Path, Callable[..., Path]], Path], str]] = {
    "missing": (lambda tmp_path, sources: tmp_path / "gone", "gone is not a run directory"),
    "not a run": (no_run, r"source is not a run directory \(no config.json\), nor an exported agent"),
    "no checkpoint": (without_checkpoint, "source holds no checkpoint yet"),
    "unreadable": (unreadable, "source: .* is not JSON"),
    "few-shot": (
        lambda tmp_path, sources: sources("maml", "sinusoid-5shot"),
        r"run \(maml\) has learned from labelled examples; valid for maml-trpo: an agent that has learned to act",
    ),
    "other actions": (
        lambda tmp_path, sources: sources("maml-trpo", "bandit/k5-n10"),
        r"run has observations Box\(.*\), navigation has Box\(2,\)",
    ),
    "recurrent": (
        lambda tmp_path, sources: sources("rl2"),
        r"run \(rl2\) does not fit maml-trpo: its network is another one: it has .* and lacks log_std, mean",
    ),
    "wider": (
        lambda tmp_path, sources: sources("maml-trpo", **{"network.hidden": (9,)}),
        r"run \(maml-trpo\) does not fit maml-trpo: .*mean.0.weight is \[9, 2\], not \[8, 2\]",
    ),
    "normalised": (
        lambda tmp_path, sources: sources("maml-trpo", **NORMALISED),
        "run was trained with --normalise-observations True; valid here: the same",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_before_there_is_a_run(
    case: str, sources: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, said = REFUSED[case]
    start, run = make(tmp_path, sources), tmp_path / "run"
    with pytest.raises(ConfigError, match=f"^--start-from: .*{said}") as caught:
        train(small("maml-trpo", run, start_from=str(start)), quiet)
    assert "\n" not in str(caught.value)
    assert main([*TINY_OPTIONS, "--start-from", str(start), "--run-dir", str(run)]) == 2
    assert capsys.readouterr().err == f"meta-rl train: {caught.value}\n"
    assert not run.exists()


def test_other_refusals(sources: Callable[..., Path], tmp_path: Path) -> None:
    """An agent without statistics for a run with them; one that acts for few-shot tasks; damage."""
    config = small("maml-trpo", tmp_path / "run", start_from=str(sources("maml-trpo")), **NORMALISED)
    with pytest.raises(ConfigError, match="--normalise-observations False; valid here: the same"):
        train(config, quiet)
    config = small("maml", tmp_path / "run", "sinusoid-5shot", start_from=str(sources("maml-trpo")))
    with pytest.raises(ConfigError, match=r"^--start-from: .* has learned to act in environments; valid for maml: "):
        train(config, quiet)
    attention = {"network.cell": "transformer", "network.attention_window": 5}
    start = str(sources("rl2", **attention))
    for name, value, its in (("heads", 2, 4), ("window", 6, 5)):
        config = small("rl2", tmp_path / "run", start_from=start, **attention | {f"network.attention_{name}": value})
        with pytest.raises(ConfigError, match=f"^--start-from: .* --attention-{name} {its}; valid here: the same"):
            train(config, quiet)
    shutil.copytree(sources("maml-trpo"), tmp_path / "source")
    for path in (tmp_path / "source").rglob("state.safetensors"):
        path.write_bytes(b"")
    config = small("maml-trpo", tmp_path / "run", start_from=str(tmp_path / "source"))
    with pytest.warns(CheckpointWarning), pytest.raises(CheckpointError, match=r"no sound checkpoint in .*source"):
        train(config, quiet)
    assert not (tmp_path / "run").exists()
