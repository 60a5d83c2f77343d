"""What a comparison takes for seeds of one thing, and how it calls what it does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meta_rl.cli import main
from meta_rl.config import default_config, load_config, replace_paths, to_dict
from meta_rl.errors import ConfigError
from meta_rl.evaluation.compare import compare
from meta_rl.evaluation.record import read_record_file, write_record_file
from meta_rl.evaluation.scores import MODE
from tests.meta_rl.conftest import TINY_FEWSHOT_COMMAND, TINY_OPTIONS

Variant = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An evaluated run of one iteration that acts, and one that answers."""
    place = tmp_path_factory.mktemp("trained")
    for name, command in (("acting", TINY_OPTIONS), ("predicting", TINY_FEWSHOT_COMMAND.split())):
        assert main([*command, "--iterations", "1", "--run-dir", str(place / name)]) == 0
    return {name: place / name for name in ("acting", "predicting")}


@pytest.fixture
def variant(trained: dict[str, Path], tmp_path: Path) -> Variant:
    """``variant(name, more, of=, iteration=, start=, **changes)``: the run as if it had another config, returns that
    are `more` higher, more iterations, and had begun with another agent."""

    def make(
        name: str, more: float = 0.0, of: str = "acting", iteration: int = 1, start: Any = None, **changes: Any
    ) -> Path:
        run = Path(shutil.copytree(trained[of], tmp_path / name))
        config = replace_paths(
            load_config(run / "config.json"), {key.replace("__", "."): v for key, v in changes.items()}
        )
        (run / "config.json").write_text(json.dumps(to_dict(config)))
        record = read_record_file(run / "evaluation.json")
        assert record is not None
        values = {way: {key: v + more for key, v in found.items()} for way, found in record.values.items()}
        write_record_file(replace(record, values=values, iteration=iteration), run / "evaluation.json")
        if start is not None:
            about = json.loads((run / "environment.json").read_text())
            (run / "environment.json").write_text(json.dumps(about | {"start": start}))
        return run

    return make


def seeds(*runs: Path) -> dict[str, list[int]]:
    return {label: group.seeds for label, group in compare(runs).groups.items()}


def test_runs_of_two_step_sizes_are_two_groups(variant: Variant) -> None:
    """Each with its own number, which is not the mean of both."""
    runs = [variant("a"), variant("b", 10.0, algorithm__inner_lr=0.5), variant("c", 4.0, seed=1)]
    groups = compare(runs).groups
    assert {label: group.seeds for label, group in groups.items()} == {
        "maml-trpo inner_lr=0.1": [0, 1],
        "maml-trpo inner_lr=0.5": [0],
    }
    first, other = (group.stages[-1].scores[MODE]["return"] for group in groups.values())
    assert first.by_seed[1] - first.by_seed[0] == pytest.approx(4.0)
    assert other.mean - first.by_seed[0] == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({"network__hidden": (9, 9)}, ["hidden=8", "hidden=9,9"]),
        ({"network__normalise_observations": True}, ["normalise_observations=False", "normalise_observations=True"]),
        ({"algorithm__discount": 0.5}, ["discount=0.99", "discount=0.5"]),
        ({"meta_batch_size": 6}, ["meta_batch_size=3", "meta_batch_size=6"]),
        ({"shards": 3, "algorithm__max_kl": 0.5}, ["max_kl=0.01 shards=1", "max_kl=0.5 shards=3"]),
        ({"iteration": 7}, ["iterations=1", "iterations=7"]),
    ],
    ids=str,
)
def test_whatever_differs_tells_groups_apart(variant: Variant, changes: dict[str, Any], apart: list[str]) -> None:
    runs = [variant("a"), variant("b", seed=1, **changes)]
    assert seeds(*runs) == {f"maml-trpo {apart[0]}": [0], f"maml-trpo {apart[1]}": [1]}


def test_what_may_change_on_a_resume_does_not(variant: Variant) -> None:
    free = {
        "device": "auto",
        "checkpoint_every": 9,
        "report_every": 5,
        "keep_checkpoints": 1,
        "iterations": 50,
        "run_dir": "elsewhere",
    }
    assert seeds(variant("a"), variant("b", seed=1, evaluate__tasks_at_once=1, **free)) == {"maml-trpo": [0, 1]}


def test_annealing_that_changes_nothing_has_no_length(variant: Variant) -> None:
    rl2 = {"recipe": "rl2", "algorithm": default_config("rl2", "navigation").algorithm}
    runs = [variant("a", **rl2), variant("b", **rl2, seed=1, algorithm__learning_rate_iterations=0)]
    assert seeds(*runs) == {"rl2": [0, 1]}
    ends = {"algorithm__final_learning_rate": 0.1}
    apart = [variant(f"c{n}", **rl2, seed=n, **ends, algorithm__learning_rate_iterations=n) for n in (1, 2)]
    assert seeds(*apart) == {"rl2 learning_rate_iterations=1": [1], "rl2 learning_rate_iterations=2": [2]}


def test_a_run_that_is_named_twice_counts_once(variant: Variant) -> None:
    run, again = variant("a"), variant("again")
    one, twice = (compare(runs).groups["maml-trpo"] for runs in ([run], [run, run, again]))
    assert one == twice
    with pytest.raises(ConfigError, match=r"a and .*other are one run by config and seed \(0\).* name one of them"):
        compare([run, variant("other", 1.0)])


def start(seed: int, recipe: str = "multitask-trpo", iteration: int = 50, **more: Any) -> dict[str, Any]:
    return {"recipe": recipe, "env": "navigation", "seed": seed, "iteration": iteration, "env_steps": 9, **more}


def begun(variant: Variant, seed: int, name: str = "", **of_start: Any) -> Path:
    """A run that began with the agent of its own seed."""
    folder = f"runs/results/push/multitask-trpo_s{seed}"
    return variant(f"r{seed}{name}", seed=seed, start_from=folder, start=start(seed, **of_start))


def test_runs_that_began_with_agents_of_their_own_seeds_are_one_group(variant: Variant) -> None:
    """As a table in results/ has them; the agents may be gone."""
    assert seeds(*(begun(variant, seed) for seed in range(3))) == {"maml-trpo": [0, 1, 2]}
    theirs = [to_dict(replace(default_config("multitask-trpo", "navigation"), seed=seed)) for seed in range(2)]
    assert seeds(*(begun(variant, seed, "c", config=theirs[seed]) for seed in range(2))) == {"maml-trpo": [0, 1]}


@pytest.mark.parametrize(
    ("other", "apart"),
    [
        ({"recipe": "reptile"}, ["start_from=multitask-trpo", "start_from=reptile"]),
        ({"iteration": 60}, ["start_from.iteration=50", "start_from.iteration=60"]),
        ({"lr": 0.3}, ["start_from.inner_lr=0.1", "start_from.inner_lr=0.3"]),
    ],
    ids=str,
)
def test_agents_that_are_not_alike_tell_apart(variant: Variant, other: dict[str, Any], apart: list[str]) -> None:
    rate = other.pop("lr", 0.1)
    first, second = (
        to_dict(replace_paths(default_config("multitask-trpo", "navigation"), {"algorithm.inner_lr": value}))
        for value in (0.1, rate)
    )
    configs = ({}, {}) if rate == 0.1 else ({"config": first}, {"config": second})
    runs = [begun(variant, 0, **configs[0]), begun(variant, 1, **configs[1], **other)]
    assert seeds(*runs) == {f"maml-trpo {apart[0]}": [0], f"maml-trpo {apart[1]}": [1]}


def test_a_run_that_began_anew_is_apart(variant: Variant) -> None:
    runs = [begun(variant, 0), variant("new", seed=1)]
    assert seeds(*runs) == {"maml-trpo start_from=multitask-trpo": [0], "maml-trpo start_from=none": [1]}


def test_few_shot_runs_are_grouped_alike(variant: Variant, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        variant("a", of="predicting"),
        variant("b", 2.0, of="predicting", seed=1),
        variant("c", of="predicting", fewshot__train_shots=7),
        variant("d", of="predicting", iteration=300),
    ]
    labels = {
        "maml train_shots=10 iterations=1": [0, 1],
        "maml train_shots=7 iterations=1": [0],
        "maml train_shots=10 iterations=300": [0],
    }
    assert seeds(*runs) == labels
    capsys.readouterr()
    assert main(["compare", *map(str, runs)]) == 0
    assert f"| {next(iter(labels))} | 2 | 1, " in capsys.readouterr().out


def test_untrained_runs_of_two_recipes_are_not_seeds(variant: Variant) -> None:
    reptile = {"recipe": "reptile", "algorithm": default_config("reptile", "navigation").algorithm}
    runs = [variant("a", iteration=0), variant("b", iteration=0, seed=1), variant("c", iteration=0, seed=1, **reptile)]
    assert seeds(*runs) == {"untrained maml-trpo": [0, 1], "untrained reptile": [1]}
    assert seeds(*runs[:2]) == {"untrained": [0, 1]}


def test_an_agent_as_it_came_is_not_untrained(variant: Variant) -> None:
    """A run of no iterations that began with an agent judges that agent on other tasks."""
    start = {"recipe": "maml-trpo", "env": "navigation", "iteration": 3}
    runs = [variant("a", iteration=0), variant("b", iteration=0, start=start), variant("c", start=start)]
    assert seeds(*runs) == {"untrained": [0], "maml-trpo as it came": [0], "maml-trpo": [0]}


def test_curves_end_where_a_run_was_judged(variant: Variant) -> None:
    """A run goes on after its evaluation; env steps of episodes that end early are a mean."""
    runs = [variant("a"), variant("b", seed=1)]
    metrics = runs[1] / "metrics.jsonl"
    row = json.loads(metrics.read_text())
    metrics.write_text("".join(json.dumps(row | {"iteration": n, "env_steps": 100 * n}) + "\n" for n in (1, 2, 3)))
    record = read_record_file(runs[1] / "evaluation.json")
    assert record is not None
    write_record_file(replace(record, train_env_steps=record.train_env_steps + 100), runs[1] / "evaluation.json")
    group = compare(runs).groups["maml-trpo"]
    assert [len(curve) for curve in group.training_curves] == [1, 1]
    assert group.train_env_steps == record.train_env_steps + 50


def test_tables_of_dotted_names_lie_side_by_side(variant: Variant, tmp_path: Path) -> None:
    run = str(variant("a", of="predicting"))
    for name in ("lr0.1", "lr0.5", "v1.2.3", "plain", "whole.json"):
        assert main(["compare", run, "--out", str(tmp_path / "t" / name)]) == 0
    written = {path.name for path in (tmp_path / "t").iterdir()}
    names = ("lr0.1", "lr0.5", "v1.2.3", "plain", "whole")
    assert {f"{name}{ending}" for name in names for ending in (".json", ".md")} <= written
    assert {Path(name).stem for name in written} == set(names)
