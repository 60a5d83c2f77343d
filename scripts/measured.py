"""What the benchmarks share: a record of what was measured, as JSON, and beside it the table of it."""

import json
import os
from pathlib import Path
from typing import Any

from meta_rl.core.files import with_ending

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Cores that this process may run on (``taskset`` can leave it fewer than the machine has)."""


def write_measured(out: Path, record: dict[str, Any], text: str) -> None:
    """Write ``OUT.json`` and ``OUT.md``, in a folder that may have to be made.

    Args:
        text: Markdown, with the command that gives it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with_ending(out, ".json").write_text(json.dumps(record, indent=1) + "\n")
    with_ending(out, ".md").write_text(text)
