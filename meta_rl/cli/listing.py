"""``meta-rl runs``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from meta_rl.cli.options import RunsConfig
from meta_rl.cli.parsing import parse_options
from meta_rl.errors import ConfigError
from meta_rl.evaluation import listing, markdown
from meta_rl.runs.display import Display


def runs_command(argv: list[str]) -> int:
    """``meta-rl runs``."""
    options = parse_options(RunsConfig, RunsConfig(), argv, "meta-rl runs", flags=True)
    for folder in options.folders:
        if not Path(folder).is_dir():
            raise ConfigError(f"FOLDER: there is no folder {folder}; name one that holds runs, as in: meta-rl runs zoo")
    runs, problems = listing.find_runs(map(Path, options.folders))
    for path, reason in problems:
        print(f"meta-rl runs: {path} is left out: {reason}", file=sys.stderr)
    runs = listing.in_order(runs, options.sort)
    if options.json:
        print(json.dumps([listing.as_json(run) for run in runs], indent=1))
    elif runs:
        parts = [listing.as_table(runs)]
        Display().document(parts, markdown.document(parts))
    else:
        print(f"no run in or below {', '.join(options.folders)}")
    return 0
