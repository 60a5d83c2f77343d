"""The tables of learning in README.md and docs/results.md, made from the files of results/.

``python scripts/results_page.py`` writes the lines below every marker like ``<!-- table: push -->`` again, up to the
next empty line; ``--check`` writes nothing and says whether they are as they would be written. A marker names a table
of results/ (push is results/push.json), or ``overview``, ``overview short`` (one row per table, one column per
learner), or ``omniglot``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from kept import KEPT, minutes_of

from meta_rl.core.files import with_ending
from meta_rl.evaluation import markdown
from meta_rl.evaluation.compare import read_comparison
from meta_rl.evaluation.grouping import group_runs
from meta_rl.evaluation.kinds.base import Comparison, Group
from meta_rl.evaluation.record import Evaluated, evaluated
from meta_rl.evaluation.scores import INDUCTIVE, RATES, SAMPLED, TRANSDUCTIVE

RESULTS = Path("results")
PAGES = (Path("README.md"), Path("docs/results.md"))
MARKER = re.compile(r"(<!-- table: ([\w ./-]+) -->\n)((?:.+\n)*)")
OVERVIEW = {
    "reach": "ML1 reach, 50 goals",
    "door-open": "ML1 door-open, 50 goals",
    "push": "ML1 push, 50 goals",
    "pick-place": "ML1 pick-place, 50 goals",
    "ml10": "ML10, 250 goals of five unseen families",
    "navigation-all": "navigation, 40 goals, return",
    "cheetah-dir": "cheetah-dir@maml2017, two directions, return",
    "cheetah-vel": "cheetah-vel@promp, 40 speeds, return",
}
"""Tables of results/ in the overview, and what they are of; success where nothing else is said."""
LEARNERS = {
    "maml-trpo": "MAML-TRPO",
    "maml-ppo": "MAML-PPO",
    "rl2": "RL2",
    "reptile": "Reptile",
    "multitask-trpo": "one policy for all (TRPO)",
    "multitask-ppo": "one policy for all (PPO)",
}
FEWSHOT = {
    "prototypical": "prototypical networks",
    "matching": "matching networks",
    "maml": "MAML",
    "reptile-supervised": "Reptile",
}
OMNIGLOT = {"5way-1shot": "5 ways, 1 shot", "5way-5shot": "5 ways, 5 shots", "20way-1shot": "20 ways, 1 shot"}
RETURNS = {"navigation": "return"}
"""Tasks that are known by their return, though they have a success too."""
SHORT = ("maml-trpo", "maml-ppo", "rl2", "reptile")
MOST_STAGES = 6
"""More of them are shown by the first ones and the last."""
EARLIER_COMMITS = {
    ("reach", "maml-trpo"): "3eac37e, 79b18aa",
    ("reach", "rl2"): "13fd68a",
    ("reach", "reptile"): "6b32b99",
    ("door-open", "maml-trpo"): "5211824, 4947502, 6b32b99",
    ("door-open", "reptile"): "5211824, 4947502, 6b32b99",
    ("push", "rl2"): "23ade79, 4947502, 6ab3b4b",
    ("reach", "multitask-trpo"): "79b18aa",
}
"""Commits of rows whose runs were not kept, and which are not of the commit of their table alone."""


def main(arguments: list[str]) -> None:
    """Write the tables, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; 1 if a table is not as it would be written"
    )
    options = parser.parse_args(arguments)
    made = {page: text for page in PAGES if (text := renewed(before := page.read_text())) != before}
    for page, text in made.items():
        print(f"{page}: {'not as results/ has it' if options.check else 'written'}")
        if not options.check:
            page.write_text(text)
    sys.exit(int(options.check and bool(made)))


def renewed(text: str) -> str:
    """A page with its tables made again."""
    return MARKER.sub(lambda found: found[1] + "\n".join(markdown.table(table(found[2]))) + "\n", text)


def table(name: str) -> list[list[str]]:
    """The cells that a marker stands for."""
    return MADE[name]() if name in MADE else experiment(name)


def overview(learners: tuple[str, ...]) -> list[list[str]]:
    """A row per table of results/, a column per learner."""
    rows = [["tasks", *(LEARNERS[learner] for learner in learners)]]
    for name, title in OVERVIEW.items():
        comparison = read(name)
        groups = (comparison.groups.get(learner) for learner in learners)
        rows.append([title, *(overview_cell(comparison, group) if group else "" for group in groups)])
    return rows


def overview_cell(comparison: Comparison, group: Group) -> str:
    """Scores by stage, seeds and budget of a learner."""
    return f"{curve(comparison, group, comparison.headline)}{daggers(group)} by {group.train_env_steps / 1e6:.1f} M"


def experiment(name: str) -> list[list[str]]:
    """A row per learner of one table of results/."""
    comparison = read(name)
    both = any(SAMPLED in stage.scores for stage in comparison.stages)
    unit = scored(comparison)
    kept = kept_runs(name)
    times = {label: minutes(kept.get(label, [])) for label in comparison.groups}
    timed = any(times.values())
    heads = ["learner", "seeds", "env steps", *(["minutes"] if timed else []), f"{unit}, mode actions"]
    rows = [[*heads, *([f"{unit}, sampled actions"] if both else []), "commits"]]
    for label, group in comparison.groups.items():
        cells = [label, str(len(group.seeds)), f"{group.train_env_steps / 1e6:.1f} M"]
        cells += [times[label]] if timed else []
        cells += [curve(comparison, group, comparison.headline), *([curve(comparison, group, SAMPLED)] if both else [])]
        mine = kept.get(label, [])
        if len(mine) == len(group.seeds):
            rows.append([*cells, commits(mine)])
        else:
            versions = group.origin.get("versions", comparison.versions)
            rows.append([*cells, EARLIER_COMMITS.get((name, label), str(versions.get("commit", ""))[:7])])
    return rows


def omniglot() -> list[list[str]]:
    """A row per few-shot learner, two columns per task: accuracy, and what is published."""
    tables = [read(f"fewshot_omniglot-{task}") for task in OMNIGLOT]
    rows = [["", *(head for title in OMNIGLOT.values() for head in (title, "published"))]]
    for label, title in FEWSHOT.items():
        groups = [comparison.groups[label] for comparison in tables]
        rows.append([title, *(cell for group in groups for cell in (accuracy(group), published(group)))])
    return rows


def accuracy(group: Group) -> str:
    """Accuracy with queries answered together, and where it differs one by one."""
    last = group.stages[-1].scores
    together, one_by_one = (f"{100 * last[way]['accuracy'].mean:.1f}" for way in (TRANSDUCTIVE, INDUCTIVE))
    return together + (f" ({one_by_one})" if one_by_one != together else "") + daggers(group)


def published(group: Group) -> str:
    """The published number; of two, one by one and together, in the order of ours."""
    numbers = re.findall(r"[\d.]+", group.published or "")
    shown = [f"{float(number):.1f}" for number in reversed(numbers)]
    return " ".join([*shown[:1], *(f"({number})" for number in shown[1:])])


def daggers(group: Group) -> str:
    """A mark for every seed that is short of three."""
    return "†" * (3 - min(3, len(group.seeds)))


def curve(comparison: Comparison, group: Group, way: str) -> str:
    """Means before adaptation and after each step, and the interval of the best of them; nothing if the group was not
    judged so."""
    name = scored(comparison)
    if any(way not in stage.scores for stage in group.stages):
        return ""
    scores = [stage.scores[way][name] for stage in group.stages]
    best = max(scores, key=lambda score: score.mean)
    shown = [f"**{show(name, s.mean)}**" if s is best else show(name, s.mean) for s in scores]
    if len(shown) > MOST_STAGES:
        shown = [*shown[: MOST_STAGES - 2], "...", shown[-1]]
    unit = " %" if name in RATES else ""
    return f"{' → '.join(shown)}{unit} ({show(name, best.low)} to {show(name, best.high)})"


def scored(comparison: Comparison) -> str:
    """The score that a table shows."""
    return RETURNS.get(comparison.env, comparison.names[0])


def show(name: str, value: float) -> str:
    """A mean without its unit."""
    if name in RATES:
        return f"{100 * value:.0f}"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def kept_runs(name: str) -> dict[str, list[Evaluated]]:
    """The kept runs of a table by the labels that it gives them."""
    return group_runs(evaluated(found)) if (found := sorted((KEPT / name).glob("*_s*"))) else {}


def minutes(runs: Sequence[Evaluated]) -> str:
    """Minutes of training of one run on average, where they were kept."""
    found = [m for run in runs if (m := minutes_of(run.folder)) is not None]
    return f"{sum(found) / len(found):.0f}" if found else ""


def commits(runs: Sequence[Evaluated]) -> str:
    """The commits that the runs are of."""
    return ", ".join(dict.fromkeys(run.record.versions.get("commit", "")[:7] for run in runs))


def read(name: str) -> Comparison:
    """A table of results/."""
    return read_comparison(with_ending(RESULTS / name, ".json"))[0]


MADE = {
    "overview": partial(overview, tuple(LEARNERS)),
    "overview short": partial(overview, SHORT),
    "omniglot": omniglot,
}
"""Tables that are made of several of results/."""


if __name__ == "__main__":
    main(sys.argv[1:])
