"""One word per thing: no public name at the top of a module stands for two things in `meta_rl`."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = {
    "AGENTS": "the table of agents of each page of `meta_rl.classical`, always named with its page: `bandits.AGENTS`",
    "DEFAULTS": "the table of settings that each page of `meta_rl.config.recipes` has; `recipes/table.py` gathers them",
    "RECIPES": "the table of recipes that each page of `meta_rl.config.recipes` has; `recipes/table.py` gathers them",
}
"""Names that several modules have by convention, with the reason; the list only becomes shorter."""


def defined(body: list[ast.stmt]) -> Iterator[str]:
    """Public names that the statements of a module define, also those in its conditions; imported ones are others'."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found = [node.name]
            case ast.Assign(targets):
                parts = [part for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
                found = [part.id for part in parts if isinstance(part.ctx, ast.Store)]
            case ast.AnnAssign(ast.Name(name)):
                found = [name]
            case ast.If() | ast.Try():
                inside = [*node.body, *node.orelse, *(s for h in getattr(node, "handlers", []) for s in h.body)]
                found = list(defined(inside))
            case _:
                found = []
        yield from (name for name in found if not name.startswith("_"))


def owners(folder: Path) -> dict[str, set[str]]:
    """The files that define each public name."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(folder.rglob("*.py")):
        for name in defined(ast.parse(path.read_text()).body):
            found[name].add(str(path.relative_to(folder)))
    return found


def test_no_name_stands_for_two_things() -> None:
    several = {name: sorted(files) for name, files in owners(ROOT / "meta_rl").items() if len(files) > 1}
    unknown = {name: files for name, files in several.items() if name not in SHARED}
    assert not unknown, "say which: " + "; ".join(f"{name} in {', '.join(files)}" for name, files in unknown.items())
    assert several.keys() == SHARED.keys(), f"take from the list: {', '.join(SHARED.keys() - several.keys())}"


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def load(): pass\nasync def fetch(): pass\nclass Row: pass", ["load", "fetch", "Row"]),
        ("A = B = 1\nC, (D, *E) = x\nF: int = 2\nG: int", ["A", "B", "C", "D", "E", "F", "G"]),
        ("try:\n    H = 1\nexcept ImportError:\n    I = 2\nif x:\n    J = 3\nelse:\n    K = 4", ["H", "I", "J", "K"]),
        ("_T = 1\ndef _hidden(): pass\n__all__ = []", []),
        ("from a import load\nimport b as c\nload.x = 1\nd[0] = 2", []),
        ("def outer():\n    def inner(): pass\nclass Outer:\n    field: int = 1", ["outer", "Outer"]),
    ],
)
def test_what_counts_as_a_name(code: str, names: list[str]) -> None:
    assert list(defined(ast.parse(code).body)) == names


def test_a_name_in_two_files_is_found(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    for name in ("a.py", "room/b.py"):
        (tmp_path / name).write_text("def join(): pass\n")
    assert owners(tmp_path) == {"join": {"a.py", "room/b.py"}}
