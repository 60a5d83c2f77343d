"""How the docstrings read: each begins with a verb or a noun, and none is a riddle."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("meta_rl", "envs", "scripts")

# A sentence that opens with one of these words has left out its subject.
OPENING = re.compile(r"(Of|That|Those|Where|Whoever)\b")
RIDDLES = ("so many", "what is to be", "its own affair", "nobody else's business")


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring: of modules, classes and functions, and those below an assignment."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        before: ast.stmt | None = None
        for statement in node.body:
            first_or_below = before is None or isinstance(before, ast.Assign | ast.AnnAssign)
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))) if first_or_below:
                    yield statement.lineno, " ".join(text.split())
            before = statement


def violations(source: str) -> list[tuple[int, str]]:
    """Line and sentence of each breach of the two rules in a file's source."""
    found = []
    for line, text in texts(ast.parse(source)):
        sentences = re.split(r"(?<=[.!?]) ", text)
        if OPENING.match(text):
            found.append((line, sentences[0]))
        found += [(line, s) for s in sentences if any(riddle in s.lower() for riddle in RIDDLES)]
    return found


def test_every_docstring_names_its_subject_and_holds_no_riddle() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {sentence}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, sentence in violations(path.read_text())
    ]
    assert not found, "\n".join([f"{len(found)} docstrings to rewrite:", *found])


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('"""Of a run."""', 1),
        ('def f():\n    """Whoever calls."""', 2),
        ('class A:\n    """A class."""\n    b = 1\n    """Those that\n    count."""', 4),
        ('c: int = 2\n"""Seconds. As one in so\nmany."""', 2),
    ],
)
def test_a_breach_is_found_in_each_kind_of_docstring(source: str, line: int) -> None:
    assert [at for at, _ in violations(source)] == [line]


def test_a_longer_word_and_a_later_sentence_may_begin_alike() -> None:
    assert violations('"""Offset of a row. Those rows follow."""\nx = 1\n"""Thatcher."""') == []
