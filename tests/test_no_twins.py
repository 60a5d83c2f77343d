"""No algorithm is written twice: what supervised learning and RL have in common stands in one place."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / "meta_rl"
RUN = 6
SUPERVISED = {"prototypical", "matching", "siamese", "meta_lstm", "metric", "one_shot", "sinusoid_fits", "supervised"}
SUPERVISED |= {"fewshot", "examples"}


def supervised(path: Path) -> bool:
    return any(word in path.stem for word in SUPERVISED) or "fewshot" in path.relative_to(ROOT).parts


def runs(text: str) -> set[tuple[str, ...]]:
    """Every run of six lines of code; imports and comments do not count."""
    lines = [line.strip() for line in text.splitlines()]
    code = [line for line in lines if line and not line.startswith(("import ", "from ", "#"))]
    return {tuple(code[i : i + RUN]) for i in range(len(code) - RUN + 1)}


def test_no_run_of_lines_stands_on_both_sides() -> None:
    sides: dict[bool, dict[Path, set[tuple[str, ...]]]] = {True: {}, False: {}}
    for path in ROOT.rglob("*.py"):
        sides[supervised(path)][path] = runs(path.read_text())
    assert len(sides[True]) > 10
    twins = [(a.name, b.name, x & y) for a, x in sides[True].items() for b, y in sides[False].items() if x & y]
    assert not twins


def test_nor_in_the_two_learners_of_one_file() -> None:
    for name in ("maml", "reptile"):
        text = (ROOT / "algorithms" / f"{name}.py").read_text()
        lines, found = text.splitlines(), []
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef):
                found.append(runs("\n".join(lines[node.lineno - 1 : node.end_lineno])))
        assert len(found) >= 3
        assert not any(a & b for i, a in enumerate(found) for b in found[:i])
