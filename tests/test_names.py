"""No code asks for the name of an environment or of a recipe: what differs between them is in a row of a table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import envs
from meta_rl.config import RECIPES
from meta_rl.config.fewshot import TASK_KINDS

ROOT = Path(__file__).parent.parent
FOLDERS = ("envs", "meta_rl", "scripts")
MODULES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
NAMES = {part for name in (*RECIPES, *TASK_KINDS, *envs.list_names()) for part in (name, *name.split("/"))}
METHODS = {"startswith", "endswith", "removeprefix", "removesuffix", "fnmatch", "fnmatchcase", "match", "fullmatch"}
"""What asks how a name begins or ends."""
OPEN = {"scripts/zoo.py"}  # shortens names
"""Files that still ask; the list only becomes shorter."""


def comparisons(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every comparison with a name, or with how names begin."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Compare(left, _, others):
                texts = [text for side in (left, *others) for text in constants(side)]
                yield from ((node.lineno, text) for text in texts if text in NAMES)
            case ast.MatchValue(ast.Constant(str(text))) if text in NAMES:
                yield node.lineno, text
            case ast.Call(ast.Attribute(_, method), arguments) if method in METHODS:
                texts = [text for argument in arguments for text in constants(argument)]
                yield from ((node.lineno, text) for text in texts if begins_a_name(text))


def constants(node: ast.expr) -> list[str]:
    """A text, or those of a tuple, list or set."""
    nodes = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return [each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def begins_a_name(text: str) -> bool:
    """Whether names begin with `text`, at least three letters, or `text` is a name and a sign that follows it."""
    text = text.rstrip("*")
    return len(text) > 2 and any(name.startswith(text) or text[:-1] == name for name in NAMES)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_code_asks_for_a_name(path: Path) -> None:
    found = list(comparisons((ROOT / path).read_text()))
    if str(path) in OPEN:
        assert found, f"{path} asks no more: take it from the list"
    else:
        assert not found


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ('if config.env == "navigation": pass', "navigation"),
        ('x = 1 if "maml-trpo" != recipe else 2', "maml-trpo"),
        ('if kind in ("omniglot", "images"): pass', "omniglot"),
        ('if name.startswith("metaworld/"): pass', "metaworld/"),
        ('if env.startswith(("bandit", "x")): pass', "bandit"),
        ('if kind.startswith("ml1-"): pass', "ml1-"),
        ('match recipe:\n    case "rl2": pass', "rl2"),
        ('if fnmatch.fnmatch(env, "sinusoid-*"): pass', "sinusoid-"),
    ],
)
def test_what_asks_is_found(code: str, text: str) -> None:
    assert any(found.startswith(text) for _, found in comparisons(code))


@pytest.mark.parametrize(
    "code",
    [
        'ROWS = {"navigation": 1}[name]',
        'DEFAULTS = [("rl2*", "metaworld/*", {"iterations": 3})]',
        'if key.startswith("return/stage_"): pass',
        "if env == other: pass",
    ],
)
def test_tables_do_not_ask(code: str) -> None:
    assert list(comparisons(code)) == []
