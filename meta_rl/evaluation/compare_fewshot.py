"""Few-shot runs together: mean and spread over training seeds, on the same test episodes, beside published numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meta_rl.errors import ConfigError
from meta_rl.evaluation import markdown
from meta_rl.evaluation.compare import grouped, write_summary
from meta_rl.evaluation.examples import mean_interval
from meta_rl.evaluation.report_fewshot import SYNTHETIC, show
from meta_rl.runs.log import read_rows

# Accuracy in per cent on Omniglot's random split with turned characters as classes, by N-way K-shot. Third-party
# transcriptions are Reptile and FOMAML; the Siamese column is Koch's, for the contrastive loss there is none.
_TASKS = ("5way-1shot", "5way-5shot", "20way-1shot", "20way-5shot")
PUBLISHED = {
    (recipe, f"omniglot-{tasks}"): text
    for recipe, values in {
        "maml": ("98.7 (transductive)", "99.9", "95.8", "98.9"),
        "fomaml": ("98.3 (transductive)", "99.2", "89.4", "97.9"),
        "reptile-supervised": ("95.39 / 97.68 transductive", "98.90 / 99.48", "88.14 / 89.43", "96.65 / 97.12"),
        "siamese-koch": ("97.3", "98.4", "88.2", "97.0"),
        "matching": ("98.1", "98.9", "93.8", "98.5"),
        "prototypical": ("98.8", "99.7", "96.0", "98.9"),
    }.items()
    for tasks, text in zip(_TASKS, values, strict=True)
} | {
    ("maml", "sinusoid-5shot"): "0.67 / 0.38 / 0.35 after 1 / 5 / 10 steps",
    ("pretrained", "sinusoid-5shot"): "2.41 / 2.23 / 2.19 after 1 / 5 / 10 steps",
}


def compare(run_dirs: Sequence[Path]) -> dict[str, Any]:
    """Summary of evaluated few-shot runs, grouped by recipe.

    Raises:
        ConfigError: runs were evaluated on different episodes, or those of a recipe after different steps.
    """
    groups = grouped(run_dirs, _episodes, "episodes")
    for runs in groups.values():
        for run in runs[1:]:
            if run["per_task"]["points"] != runs[0]["per_task"]["points"]:
                raise ConfigError(f"RUN: {run['folder']} was scored after other adaptation steps than "
                                  f"{runs[0]['folder']}")  # fmt: skip
    every = [run for runs in groups.values() for run in runs]
    for run in every:
        run["seconds"] = sum(row["time/iteration"] for row in read_rows(run["folder"] / "timing.jsonl"))
        recorded = run["folder"] / "environment.json"
        began = json.loads(recorded.read_text()) if recorded.exists() else {}
        run["device"] = began.get("device", run["config"].device)  # earlier versions did not write it
    return {
        "episodes": _episodes(every[0]),
        "env": every[0]["config"].env,
        "tasks": every[0]["tasks"],
        "versions": every[0]["versions"],
        "baselines": every[0]["baselines"],
        "groups": {label: _summarise(runs) for label, runs in groups.items()},
    }


def join(summary: dict[str, Any], table: Path) -> None:
    """Add to `summary` the groups of an earlier one that it lacks, as they stand in its file ``OUT.json``, each with
    the command and the versions that made it.

    Raises:
        ConfigError: there is no such table, or its runs were evaluated on other episodes.
    """
    try:
        earlier = json.loads(table.read_text())
        same = earlier["episodes"] == summary["episodes"]
        groups, origin = earlier["groups"], {key: earlier[key] for key in ("command", "versions")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"RUN: {table} is not a table of few-shot runs that meta-rl compare wrote") from error
    if not same:
        raise ConfigError(f"RUN: the runs of {table} were evaluated on different episodes")
    joined = {label: origin | group for label, group in groups.items() if label not in summary["groups"]}
    summary["groups"] = dict(sorted((joined | summary["groups"]).items()))


def _episodes(run: dict[str, Any]) -> list[Any]:
    """Settings that determine the test episodes."""
    seed, queries = run["protocol"]["evaluation_seed"], run["config"].fewshot.test_query_shots
    return [run["config"].env, run["split"], run["tasks"], seed, queries, run["task_distribution"]]


def _summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    points = runs[0]["per_task"]["points"]
    stages = []
    for k, point in enumerate(points):
        stage: dict[str, Any] = {"adaptation_steps": point}
        for kind in ("transductive", "inductive"):
            stage[kind] = {}
            for name in runs[0]["per_task"][kind]:
                values = np.array([run["per_task"][kind][name] for run in runs])[:, :, k]  # [seed, episode]
                by_seed = values.mean(1)
                spread = float(by_seed.std(ddof=1)) if len(runs) > 1 else 0.0
                # Of the mean over seeds, on the shared episodes.
                stage[kind][name] = mean_interval(values.mean(0)) | {"seed_sd": spread, "by_seed": by_seed.tolist()}
        stages.append(stage)
    return {
        "seeds": [run["config"].seed for run in runs],
        "device": runs[0]["device"],
        "iterations": runs[0]["iteration"],
        "train_seconds": [run["seconds"] for run in runs],
        "published": PUBLISHED.get((runs[0]["config"].recipe, runs[0]["config"].env)),
        "stages": stages,
    }


def table(summary: dict[str, Any]) -> str:
    """The summary as a Markdown table; the last row of a gradient-based learner is its last adaptation step."""
    names = list(next(iter(summary["groups"].values()))["stages"][0]["inductive"])
    groups = summary["groups"].values()
    differ = any(stage["transductive"] != stage["inductive"] for group in groups for stage in group["stages"])
    kinds = ("transductive", "inductive") if differ else ("inductive",)
    spread = ", sd the standard deviation over training seeds" if any(len(g["seeds"]) > 1 for g in groups) else ""
    alone = "" if differ else "; every query is answered alone"
    lines = [
        f"{summary['env']}, {summary['tasks']} test episodes, the same for all; +- is the 95 % interval over episodes"
        f"{spread}{alone}",
        "",
    ]
    scores_of = [f"{name}, {kind}" if differ else name for name in names for kind in kinds]
    cells = [["learner", "seeds", "iterations, s per run", "steps", *scores_of, "published"]]
    for label, group in summary["groups"].items():
        cost = f"{group['iterations']:,}, {np.mean(group['train_seconds']):,.0f}"
        cost += " (cuda)" if group["device"] == "cuda" else ""
        for stage in group["stages"]:
            row = [label, str(len(group["seeds"])), cost, str(stage["adaptation_steps"])]
            row += [show(n, stage[k][n]) + _sd(n, stage[k][n]) for n in names for k in kinds]
            cells.append([*row, str(group["published"] or "")])
    for label, scores in summary["baselines"].items():
        cells.append([label, "", "", "", *(show(name, scores[name]) for name in names for _ in kinds), ""])
    lines += markdown.table(cells)
    if summary["env"].startswith("synthetic"):
        lines += ["", SYNTHETIC]
    return "\n".join(lines)


def _sd(name: str, value: dict[str, Any]) -> str:
    if len(value["by_seed"]) == 1:
        return ""
    return f", sd {100 * value['seed_sd']:.2f}" if name == "accuracy" else f", sd {value['seed_sd']:.3f}"


def write(summary: dict[str, Any], out: Path, command: str) -> None:
    """``OUT.json``, ``OUT.md`` and, if matplotlib is installed, the adaptation curves in ``OUT.png``."""
    write_summary(summary, table(summary), out, command, lambda path: plot(summary, path))


def plot(summary: dict[str, Any], path: Path) -> None:
    """The first score, inductive, with 95 % intervals: on the left against adaptation steps, where there are more than
    one; on the right after the last step, with a dot for every training seed."""
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.6), dpi=80, layout="constrained", width_ratios=(3, 2))
    name = next(iter(next(iter(summary["groups"].values()))["stages"][0]["inductive"]))
    shown, rows = {0}, [*summary["groups"], *summary["baselines"]]
    for row, (label, group) in enumerate(summary["groups"].items()):
        steps = [stage["adaptation_steps"] for stage in group["stages"]]
        scores = [stage["inductive"][name] for stage in group["stages"]]
        mean, half = (np.array([score[key] for score in scores]) for key in ("mean", "interval"))
        colour = f"C{row}"
        if len(steps) > 2:
            left.plot(steps, mean, marker="o", markersize=4, color=colour, label=label)
            left.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
            shown |= set(steps)
        right.errorbar(mean[-1], row, xerr=half[-1], fmt="|", color=colour, capsize=3)
        right.plot(scores[-1]["by_seed"], [row] * len(group["seeds"]), ".", color=colour)
    for row, (label, found) in enumerate(summary["baselines"].items(), len(summary["groups"])):
        value = found[name]["mean"]
        left.axhline(value, linestyle=":", color="grey")
        left.annotate(label, (0, value), fontsize=7, va="bottom")
        right.errorbar(value, row, xerr=found[name]["interval"], fmt="|", color="grey", capsize=3)
    if max(shown) > 10:  # learners of one step and of fifty
        left.set_xscale("symlog", linthresh=1)
    left.set_xticks(sorted(shown), [str(step) for step in sorted(shown)], fontsize=7)
    left.minorticks_off()
    left.set(title=f"{summary['env']}: mean and 95 % interval", xlabel="adaptation steps", ylabel=name)
    right.set(title="after the last step", xlabel=name)
    right.set_yticks(range(len(rows)), [label.partition(" (")[0] for label in rows], fontsize=7)
    right.invert_yaxis()
    right.grid(axis="x", alpha=0.3)
    if left.get_legend_handles_labels()[0]:
        left.legend(fontsize=7)
    figure.savefig(path)
    plt.close(figure)
