"""The zoo: trained agents that lie in the repository, ready to be evaluated and looked at (docs/zoo.md).

``python scripts/zoo.py RUN [RUN ...]`` exports evaluated runs to zoo/RECIPE_TASKS, each with its evaluation, and
remakes the table zoo/README.md. Without runs it remakes the table from what is there.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from meta_rl.config import RECIPES, TrainConfig, load_config
from meta_rl.errors import ConfigError
from meta_rl.evaluation import markdown
from meta_rl.evaluation.forms import write_record
from meta_rl.evaluation.record import read_evaluation, read_record_file
from meta_rl.evaluation.scores import RATES
from meta_rl.evaluation.words import command_line
from meta_rl.runs.folder import MANIFEST, RESULTS

MEGABYTE = 1_000_000
LARGEST, TOGETHER = 3, 25
"""Megabytes of one agent, and of all of them."""
HEAD = """# The zoo

Trained agents, as `meta-rl export` writes them; [docs/zoo.md](../docs/zoo.md) says what can be done with them. Made by
`python scripts/zoo.py RUN ...`; success (where the tasks have it, else return) on unseen tasks before -> after
adaptation, of the evaluation recorded in each folder.
"""


def name_of(config: TrainConfig) -> str:
    """RECIPE_TASKS, without what all the names of Meta-World have in common."""
    tasks = config.env.removeprefix("metaworld/").removeprefix("ml1-").removesuffix("-v3").replace("/", "-")
    return f"{config.recipe}_{tasks}"


def agents(zoo: Path) -> list[Path]:
    """The folders of all agents."""
    return sorted(path.parent for path in zoo.glob(f"*/{MANIFEST}"))


def size(folder: Path) -> float:
    """Megabytes of what belongs to the agent."""
    files = (path for path in folder.rglob("*") if path.is_file() and RESULTS not in path.relative_to(folder).parts)
    return sum(path.stat().st_size for path in files) / MEGABYTE


def check_sizes(zoo: Path) -> None:
    """Refuse agents that are too large for the repository.

    Raises:
        ConfigError: naming the agent and the limit.
    """
    sizes = {folder.name: size(folder) for folder in agents(zoo)}
    for name, megabytes in sizes.items():
        if megabytes > LARGEST:
            raise ConfigError(f"{zoo / name}: {megabytes:.1f} MB; at most {LARGEST} MB fit into the repository")
    if sum(sizes.values()) > TOGETHER:
        raise ConfigError(f"{zoo}: {sum(sizes.values()):.1f} MB in all; at most {TOGETHER} MB fit into the repository")


def plan(runs: list[Path]) -> dict[str, Path]:
    """The runs by the names that their agents get.

    Raises:
        ConfigError: no run of a policy evaluated on the test tasks, or two of one name.
    """
    planned: dict[str, Path] = {}
    for run in runs:
        if not (run / "config.json").exists():
            raise ConfigError(f"RUN: {run} is not a run directory (it has no config.json)")
        record, config = read_evaluation(run), load_config(run / "config.json")
        name = name_of(config)
        if RECIPES[config.recipe].learns != "rl":
            raise ConfigError(f"RUN: {run} has learned from labelled examples; the zoo holds agents that act")
        if record.split != "test":
            raise ConfigError(f"RUN: {run} was evaluated on {record.split} tasks; run: {command_line('evaluate', run)}")
        if name in planned:
            raise ConfigError(f"RUN: {planned[name]} and {run} are both {name}; name one of them")
        planned[name] = run
    return planned


def add(run: Path, folder: Path) -> None:
    """Export `run` to `folder` in place of what is there, with its evaluation in one line.

    Raises:
        ConfigError: evaluated earlier than at its last checkpoint, or too large.
    """
    from meta_rl.agents import bundle
    from meta_rl.handover.export import export

    with tempfile.TemporaryDirectory() as place:
        made = export(run, Path(place) / folder.name)
        record, iteration = read_evaluation(run), bundle.read_bundle(made).iteration
        if record.iteration != iteration:
            raise ConfigError(
                f"RUN: {run} was evaluated after {record.iteration} iterations and has {iteration} by now; run: "
                f"{command_line('evaluate', run)}"
            )
        (made / "evaluation.json").write_text(json.dumps(write_record(record), separators=(",", ":")) + "\n")
        check_sizes(Path(place))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)


def row(folder: Path) -> list[str]:
    """The cells of an agent in the table."""
    config, manifest = load_config(folder / "config.json"), json.loads((folder / MANIFEST).read_text())
    record = read_record_file(folder / "evaluation.json")
    if record is None:
        raise ConfigError(f"{folder}: its evaluation.json is of an earlier version")
    name = record.names[0]
    form, ends = ".0%" if name in RATES else ".1f", (record.stages[0], record.stages[-1])
    scores = [" -> ".join(f"{stage.scores[way][name].mean:{form}}" for stage in ends) for way in record.ways]
    return [
        f"[{folder.name}]({folder.name}/README.md)",
        config.recipe,
        f"{config.env}, seed {config.seed}",
        f"{manifest['env_steps']:,}",
        str(record.tasks),
        scores[0],
        scores[1] if len(scores) > 1 else "",
        (manifest["about"].get("commit") or "")[:9],
        f"{size(folder):.1f} MB",
        f"`{command_line('evaluate', f'zoo/{folder.name}')}`",
    ]


def page(zoo: Path) -> str:
    """Text of zoo/README.md."""
    heads = ["agent", "recipe", "trained on", "env steps", "unseen tasks", "mode actions", "sampled actions", "commit"]
    rows = [row(folder) for folder in agents(zoo)]
    lines = markdown.table([[*heads, "size", "evaluate it"], *rows]) if rows else ["No agents yet."]
    return "\n".join([HEAD, *lines, ""])


def main(arguments: list[str]) -> None:
    """Export what is named, and remake the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--zoo", type=Path, default=Path("zoo"), help="the folder of all agents")
    options = parser.parse_args(arguments)
    try:
        for name, run in plan(options.runs).items():
            add(run, options.zoo / name)
            print(f"{run}: {options.zoo / name}")
        check_sizes(options.zoo)
    except ConfigError as error:
        sys.exit(f"zoo.py: {error}")
    options.zoo.mkdir(exist_ok=True)
    (options.zoo / "README.md").write_text(page(options.zoo))
    print(f"table: {options.zoo / 'README.md'}")


if __name__ == "__main__":
    main(sys.argv[1:])
