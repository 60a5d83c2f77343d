"""Does a change of the code leave the results alone? Use
``python scripts/unchanged.py OUT.json [--against EARLIER.json] [--only NAME ...]``.

Records what a move of code must not change: the default config of every valid pair of recipe and tasks, and of a short
run of every recipe its metrics and its final state, byte for byte. Learners of classes are run on Omniglot if
``--data FOLDER`` names it. With ``--tables FOLDER`` also what ``meta-rl compare`` makes of the evaluated runs below a
folder, of each and of those that lie together: every byte of the tables, or why there is none. With ``--against`` it
says what differs from an earlier record, and exits with 1 if anything does.
"""

import argparse
import contextlib
import hashlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import envs
from meta_rl.cli import main as meta_rl_main
from meta_rl.config import RECIPES, default_config, to_dict, validate
from meta_rl.errors import ConfigError

FEW_SHOT = [
    *(f"omniglot-{ways}way-{shots}shot" for ways in (5, 20) for shots in (1, 5)),
    *("sinusoid-5shot", "sinusoid-10shot"),
    *(f"{kind}-{shots}shot" for kind in ("ratings", "synthetic-ratings") for shots in (1, 5, 10)),
]
SMALL = ["--meta-batch-size", "4", "--iterations", "2", "--test-tasks", "2", "--device", "cpu"]
RL = [*SMALL, "--episodes-per-task", "2", "--hidden", "8"]
RUNS = {
    **{recipe: ["--env", "navigation", *RL] for recipe, row in RECIPES.items() if row.learns == "rl"},
    **{recipe: ["--env", "sinusoid-5shot", *SMALL] for recipe, row in RECIPES.items() if row.learns == "examples"},
}
ON_METAWORLD = ("maml-trpo", "metasgd-trpo", "reptile", "rl2")
RUNS |= {f"{recipe} on door-open": ["--env", "metaworld/ml1-door-open-v3", *RL] for recipe in ON_METAWORLD}
for name, options in RUNS.items():  # the fastest way, which is measured, may round differently in another run
    if hasattr(RECIPES[name.partition(" ")[0]].algorithm, "task_map"):
        options += ["--task-map", "loop"]
CLASSES = [recipe for recipe, row in RECIPES.items() if row.learns == "classes"]


def defaults() -> Iterator[tuple[str, dict[str, Any]]]:
    """The default config of every pair that is valid."""
    for recipe in RECIPES:
        for tasks in [*envs.list_names(), *FEW_SHOT]:
            config = default_config(recipe, tasks)
            try:
                validate(config)
            except ConfigError:
                continue
            yield f"{recipe} {tasks}", to_dict(config)


def results(options: list[str], run: Path) -> dict[str, str]:
    """SHA-256 of the metrics of a run, and of the state of its last checkpoint."""
    command = [sys.executable, "-m", "meta_rl.cli", "train", *options, "--run-dir", str(run)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    last = max((run / "checkpoints").glob("*/state.safetensors"))
    files = {"metrics": run / "metrics.jsonl", "state": last}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def tables(folder: Path) -> dict[str, dict[str, str]]:
    """SHA-256 of the tables of evaluated runs below `folder`, or the line that refuses them, by the runs."""
    runs = [path.parent for path in sorted(folder.rglob("evaluation.json"))]
    together = {run.parent: [other for other in runs if other.parent == run.parent] for run in runs}
    found = {}
    for named in [*([run] for run in runs), *together.values()]:
        with tempfile.TemporaryDirectory() as place:
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                refused = meta_rl_main(["compare", *map(str, named), "--out", f"{place}/table"])
            # The command in the files names their place, which is another one each time.
            texts = {path.suffix: path.read_text().replace(place, "") for path in Path(place).glob("table.[!p]*")}
        made = {suffix: hashlib.sha256(text.encode()).hexdigest() for suffix, text in texts.items()}
        found[" ".join(map(str, named))] = {"refused": said.getvalue()} if refused else made
    return found


def main() -> None:
    """Record, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path, help="an earlier record")
    parser.add_argument("--data", help="Omniglot")
    parser.add_argument("--only", nargs="*", help="runs of these alone; of none if none is named")
    parser.add_argument("--tables", type=Path, help="folder of evaluated runs")
    options = parser.parse_args()
    runs = {name: [name.partition(" ")[0], *settings] for name, settings in RUNS.items()}
    if options.data:
        omniglot = ["--env", "omniglot-5way-1shot", "--data", options.data, *SMALL]
        runs |= {recipe: [recipe, *omniglot] for recipe in CLASSES}
    runs = {
        name: settings for name, settings in runs.items() if name in (runs if options.only is None else options.only)
    }
    with tempfile.TemporaryDirectory() as folder:
        made = {name: results(settings, Path(folder) / name.replace(" ", "_")) for name, settings in runs.items()}
    record = {"defaults": dict(defaults()), "runs": made, "tables": tables(options.tables) if options.tables else {}}
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    if options.against:
        earlier = json.loads(options.against.read_text())
        # As JSON has them: tuples are lists.
        now = json.loads(options.out.read_text())
        earlier = {part: {} for part in record} | earlier  # records of earlier versions have no tables
        differ = [
            f"{part}: {key}"
            for part in record
            for key in sorted(earlier[part].keys() | now[part].keys())
            if earlier[part].get(key) != now[part].get(key)
        ]
        print("\n".join(differ) or "equal: " + ", ".join(f"{len(now[part])} {part}" for part in now))
        sys.exit(bool(differ))


if __name__ == "__main__":
    main()
