"""Several runs together: grouped by what was trained, over seeds, before and after adaptation."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from meta_rl.config import default_config, load_config
from meta_rl.core.seeding import Purpose, generator
from meta_rl.errors import ConfigError
from meta_rl.evaluation import markdown
from meta_rl.evaluation.record import read_evaluation, ways_judged
from meta_rl.maths.statistics import bootstrap_interval, interquartile_mean
from meta_rl.runs.durable import replace_durably
from meta_rl.runs.folder import write_json
from meta_rl.runs.log import read_rows


def compare(run_dirs: Sequence[str | Path]) -> dict[str, Any]:
    """Summary of evaluated runs, grouped by recipe (runs that have not begun to learn form the group ``untrained``).

    Returns:
        JSON-able: per group its seeds, env steps, and per adaptation step the mean success and return over seeds and
        tasks with 95 % stratified-bootstrap intervals, the interquartile mean of the return, and each seed's mean; of
        sampled actions too, under ``sampled_...``, where all runs were judged by equally many episodes of them.
    Raises:
        ConfigError: a run has no evaluation, or runs were evaluated on different tasks or for a different number of
            episodes; or those of one recipe practised differently.
    """
    what = "tasks, or by different protocols; run meta-rl evaluate on both"
    groups = grouped(run_dirs, _judged_on, what)
    every = [run for runs in groups.values() for run in runs]
    for runs in groups.values():
        _require_same(runs, _practice, what)
    for run in every:
        run["rows"] = read_rows(run["folder"] / "metrics.jsonl")
    prefixes = ("", "sampled_") if _all_judged_sampled(every) else ("",)
    return {
        "env": every[0]["config"].env,
        "tasks": every[0]["tasks"],
        "task_distribution": every[0]["task_distribution"],
        "versions": every[0]["versions"],
        "has_success": every[0]["has_success"],
        "groups": {label: _summarise(runs, prefixes) for label, runs in groups.items()},
    }


def grouped(
    run_dirs: Sequence[str | Path], judged_on: Callable[[dict[str, Any]], object], what: str
) -> dict[str, list[dict[str, Any]]]:
    """Evaluated runs by recipe, untrained ones apart: each its ``evaluation.json`` with its config and folder.

    Args:
        judged_on: what must be the same for runs to compare; `what`: that in a word.
    Raises:
        ConfigError: a run has no evaluation, or it was judged on something else.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    first: dict[str, Any] | None = None
    for run_dir in map(Path, run_dirs):
        run = read_evaluation(run_dir)
        run |= {"config": load_config(run_dir / "config.json"), "folder": run_dir}
        first = first or run
        _require_same([first, run], judged_on, what)
        recipe, env = run["config"].recipe, run["config"].env
        learned = run["iteration"] > 0 or default_config(recipe, env).iterations == 0  # random never learns
        groups.setdefault(recipe if learned else "untrained", []).append(run)
    return groups


def _require_same(runs: list[dict[str, Any]], key: Callable[[dict[str, Any]], object], what: str) -> None:
    """Raises ConfigError unless `key` is the same for all `runs`; `what`: it in words."""
    for run in runs:
        if key(run) != key(runs[0]):
            raise ConfigError(f"RUN: {run['run']} and {runs[0]['run']} were evaluated on different {what}")


def _practice(run: dict[str, Any]) -> tuple[int, int]:
    """Adaptation steps, and the episodes of each: the stages that seeds of one recipe must share."""
    return run["protocol"]["adaptation_steps"], run["protocol"]["adaptation_episodes"]


def _judged_on(run: dict[str, Any]) -> list[Any]:
    """Tasks, and the number of episodes that judge each stage: all that runs must share to be compared.

    The number of adaptations and their episodes may differ between recipes, because learners adapt in different ways:
    one gradient step on ten episodes is compared with ten episodes remembered one by one.
    """
    return [(task["family"], task["vector"], len(task["returns"][0])) for task in run["per_task"]]


def _all_judged_sampled(runs: list[dict[str, Any]]) -> bool:
    """Whether all were judged by sampled actions, too, and by as many episodes."""
    episodes = {len(task.get("sampled_returns", [[]])[0]) for run in runs for task in run["per_task"]}
    return len(episodes) == 1 and 0 not in episodes


def _summarise(runs: list[dict[str, Any]], prefixes: Sequence[str]) -> dict[str, Any]:
    """One group.

    Args:
        prefixes: of the keys of each way in which the runs were judged.
    """
    practice = runs[0]["protocol"]["adaptation_episodes"]
    stages = [
        {"adaptation_steps": stage, "practice_episodes": stage * practice}
        for stage in range(len(runs[0]["per_task"][0]["returns"]))
    ]
    for prefix in prefixes:
        for entry, scores in zip(stages, _scores(runs, prefix), strict=True):
            entry |= {f"{prefix}{name}": value for name, value in scores.items()}
    curves = [[(r["env_steps"], *_stage_values(r)) for r in run["rows"]] for run in runs]
    return {
        "seeds": [run["config"].seed for run in runs],
        "iterations": runs[0]["iteration"],
        "train_env_steps": runs[0]["train_env_steps"],
        "protocol": runs[0]["protocol"],
        "stages": stages,
        "stock_success_by_seed": [run["stock"]["success"] if run["stock"] else None for run in runs],
        "training_curves": curves,
    }


def _scores(runs: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """Success and return of each stage, over the seeds and tasks of a group."""
    families = [task["family"] for _ in runs for task in runs[0]["per_task"]]
    # [seed, task, stage, episode] -> mean over episodes
    returns, solved = (
        np.array([[task[prefix + key] for task in run["per_task"]] for run in runs], dtype=np.float64).mean(-1)
        for key in ("returns", "solved")
    )
    stages = []
    for stage in range(returns.shape[-1]):
        entry: dict[str, Any] = {}
        for name, values in (("success", solved[..., stage]), ("return", returns[..., stage])):
            rng = generator(0, Purpose.BOOTSTRAP, stage=stage)
            entry[name] = float(values.mean())
            entry[f"{name}_interval"] = bootstrap_interval(values.ravel(), families, rng)
            entry[f"{name}_by_seed"] = values.mean(1).tolist()
        entry["return_iqm"] = interquartile_mean(returns[..., stage])
        stages.append(entry)
    return stages


def _stage_values(row: dict[str, float]) -> list[float]:
    stages = range(sum(key.startswith("return/stage_") for key in row))
    return [row[f"{group}/stage_{stage}"] for group in ("return", "success") for stage in stages]


class Table(NamedTuple):
    """A part of a summary as text."""

    title: str
    cells: list[list[str]]
    """Rows of equal length; the first is the head."""


def table(summary: dict[str, Any]) -> str:
    """The summary in Markdown: `tables`, one below the other."""
    parts = [[title, "", *markdown.table(cells)] for title, cells in tables(summary)]
    return "\n\n".join("\n".join(part) for part in parts)


def tables(summary: dict[str, Any]) -> list[Table]:
    """The summary as cells: the scores of every group and stage, and Meta-World's own evaluator beside ours where it
    was asked."""
    return [_score_table(summary), *_stock_table(summary)]


def _score_table(summary: dict[str, Any]) -> Table:
    """Success and return by mode actions, which are the headline, and the first of the two that the tasks have by
    sampled actions, where the summary has those."""
    names = ("success", "return") if summary["has_success"] else ("return",)
    ways = ways_judged([stage for group in summary["groups"].values() for stage in group["stages"]])
    columns = [(prefix, names[0]) for prefix in ways] + [("", name) for name in names[1:]]
    rows = [
        [
            *("group", "seeds", "train env steps", "adaptation steps", "practice episodes"),
            *(f"{name}{ways[prefix]} (95 % interval)" for prefix, name in columns),
            "return by seed",
        ]
    ]
    for label, group in summary["groups"].items():
        for stage in group["stages"]:
            row = [label, str(len(group["seeds"])), f"{group['train_env_steps']:,.0f}"]
            row += [str(stage["adaptation_steps"]), str(stage["practice_episodes"])]
            row += [markdown.score(stage, prefix, name) for prefix, name in columns]
            rows.append([*row, ", ".join(f"{value:.1f}" for value in stage["return_by_seed"])])
    return Table(f"{summary['env']}, {summary['tasks']} test tasks", rows)


def _stock_table(summary: dict[str, Any]) -> list[Table]:
    """Success when fully adapted: in the last tenth of training, on test tasks, and by Meta-World's own evaluator. Only
    groups that it evaluated; no table if there is none."""
    rows = [["group", "training tasks, last tenth of training", "test tasks", "Meta-World's own evaluator"]]
    for label, group in summary["groups"].items():
        if None in group["stock_success_by_seed"]:
            continue
        curves = [np.array(curve[-max(1, len(curve) // 10) :])[:, -1] for curve in group["training_curves"] if curve]
        training = f"{np.mean(np.concatenate(curves)):.1%}" if curves else ""
        stock = float(np.mean(group["stock_success_by_seed"]))
        rows.append([label, training, f"{group['stages'][-1]['success']:.1%}", f"{stock:.1%}"])
    title = "Success after adaptation, ours and by Meta-World's own evaluator (biased upward):"
    return [Table(title, rows)] if len(rows) > 1 else []


def write(summary: dict[str, Any], out: Path, command: str) -> None:
    """``OUT.json`` (summary), ``OUT.csv`` (training curves: a row for each stage of each iteration), ``OUT.md``
    (tables), and ``OUT.png`` (if matplotlib is installed)."""
    groups = {name: {k: v for k, v in g.items() if k != "training_curves"} for name, g in summary["groups"].items()}
    write_summary({**summary, "groups": groups}, table(summary), out, command, lambda path: plot(summary, path))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", "seed", "env_steps", "stage", "return", "success"])
    for name, group in summary["groups"].items():
        for seed, curve in zip(group["seeds"], group["training_curves"], strict=True):
            for env_steps, *values in curve:
                by_stage = zip(*np.split(np.array(values), 2), strict=True)  # returns, then successes
                scores = ((stage, *(f"{value:.5g}" for value in pair)) for stage, pair in enumerate(by_stage))
                writer.writerows([name, seed, int(env_steps), *score] for score in scores)
    replace_durably(out.with_suffix(".csv"), text.getvalue().encode())


def write_summary(summary: dict[str, Any], text: str, out: Path, command: str, draw: Callable[[Path], None]) -> None:
    """``OUT.json`` (summary) and ``OUT.md`` (text), both with the command that makes them, and what `draw` draws in
    ``OUT.png`` (if matplotlib is installed)."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out.with_suffix(".json"), {"command": command, **summary})
    replace_durably(out.with_suffix(".md"), f"{text}\n\nCommand: `{command}`\n".encode())
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    draw(out.with_suffix(".png"))


def plot(summary: dict[str, Any], path: Path) -> None:
    """Training curves (left) and adaptation curves on unseen tasks (middle: return, right: success)."""
    from matplotlib import pyplot as plt

    shown = ("return", "success") if summary["has_success"] else ("return",)
    size = (5.5 + 3.75 * len(shown), 3.6)
    figure, (training, *adaptation) = plt.subplots(1, 1 + len(shown), figsize=size, dpi=80, constrained_layout=True)
    colours = plt.get_cmap("tab20" if len(summary["groups"]) > 10 else "tab10")
    for index, (label, group) in enumerate(summary["groups"].items()):
        colour = colours(index % colours.N)
        if group["training_curves"][0]:
            length = min(len(curve) for curve in group["training_curves"])
            curves = np.array([curve[:length] for curve in group["training_curves"]])  # [seed, row, column]
            stages = (curves.shape[2] - 1) // 2
            for stage in range(stages):
                mean = curves[:, :, 1 + stage].mean(0)
                style = {"color": colour, "linestyle": "-" if stage == stages - 1 else "--"}
                training.plot(curves[:, :, 0].mean(0), mean, **style)
                low, high = curves[:, :, 1 + stage].min(0), curves[:, :, 1 + stage].max(0)
                training.fill_between(curves[:, :, 0].mean(0), low, high, color=colour, alpha=0.12, linewidth=0)
        for axis, name in zip(adaptation, shown, strict=True):
            practice = [stage["practice_episodes"] for stage in group["stages"]]
            mean = [stage[name] for stage in group["stages"]]
            low, high = zip(*(stage[f"{name}_interval"] for stage in group["stages"]), strict=True)
            axis.plot(practice, mean, marker="o", color=colour, label=label)
            axis.fill_between(practice, low, high, color=colour, alpha=0.15, linewidth=0)
    training.set(title="training tasks (dashed: not fully adapted)", xlabel="env steps", ylabel="return")
    for axis, name in zip(adaptation, shown, strict=True):
        axis.set(title=f"unseen tasks: {name}", xlabel="episodes of practice")
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*adaptation[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.suptitle(f"{summary['env']}: mean and range over seeds (left), mean and 95 % interval (right)", fontsize=9)
    figure.savefig(path)
    plt.close(figure)
