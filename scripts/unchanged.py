"""Does a change of the code leave the results alone? Use
``python scripts/unchanged.py OUT.json [--against EARLIER.json] [--only NAME ...]``.

Records what a move of code must not change: the default config of every valid pair of recipe and tasks, and of a short
run of every recipe its metrics and its final state, byte for byte. Learners of classes are run on Omniglot if
``--data FOLDER`` names it. With ``--against`` it says what differs from an earlier record, and exits with 1 if anything
does.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import envs
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


def main() -> None:
    """Record, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path, help="an earlier record")
    parser.add_argument("--data", help="Omniglot")
    parser.add_argument("--only", nargs="+", help="runs of these alone")
    options = parser.parse_args()
    runs = {name: [name.partition(" ")[0], *settings] for name, settings in RUNS.items()}
    if options.data:
        omniglot = ["--env", "omniglot-5way-1shot", "--data", options.data, *SMALL]
        runs |= {recipe: [recipe, *omniglot] for recipe in CLASSES}
    runs = {name: settings for name, settings in runs.items() if name in (options.only or runs)}
    with tempfile.TemporaryDirectory() as folder:
        made = {name: results(settings, Path(folder) / name.replace(" ", "_")) for name, settings in runs.items()}
    record = {"defaults": dict(defaults()), "runs": made}
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    if options.against:
        earlier = json.loads(options.against.read_text())
        # As JSON has them: tuples are lists.
        now = json.loads(options.out.read_text())
        differ = [
            f"{part}: {key}"
            for part in record
            for key in sorted(earlier[part].keys() | now[part].keys())
            if earlier[part].get(key) != now[part].get(key)
        ]
        print("\n".join(differ) or f"equal: {len(now['defaults'])} configs, {len(now['runs'])} runs")
        sys.exit(bool(differ))


if __name__ == "__main__":
    main()
