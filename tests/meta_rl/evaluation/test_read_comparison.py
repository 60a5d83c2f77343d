"""Comparisons read back from their files, and their pictures."""

import json
from pathlib import Path

import pytest

from meta_rl.config import RECIPES
from meta_rl.errors import ConfigError
from meta_rl.evaluation.compare import compare, comparison_table, read_comparison, write_comparison
from meta_rl.evaluation.kinds.looks import LOOKS, looks
from tests.meta_rl.evaluation.test_compare_examples import run

RESULTS = Path(__file__).parents[3] / "results"
TABLES = [
    path
    for path in sorted(RESULTS.glob("*.json"))
    if isinstance(found := json.loads(path.read_text()), dict) and "groups" in found
]


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_kept_tables_are_made_again_from_their_numbers_and_show_their_pictures(path: Path) -> None:
    comparison, command = read_comparison(path)
    text = comparison_table(comparison)
    title, _, rest = text.partition("\n\n")
    picture = f"![{title}]({path.stem}.png)"
    assert path.with_suffix(".md").read_text() == f"{title}\n\n{picture}\n\n{rest}\n\nCommand: `{command}`\n"
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_there_are_such_tables() -> None:
    assert len(TABLES) > 15


@pytest.mark.parametrize(("recipe", "env"), [("maml-vpg", "navigation"), ("fomaml", "sinusoid-5shot")])
def test_what_was_written_is_read(tmp_path: Path, recipe: str, env: str) -> None:
    """All but the last digits of curves, which the CSV file rounds."""
    few = ["--episodes-per-task", "1", "--adaptation-episodes", "1"] if env == "navigation" else []
    made = compare([run(tmp_path, f"s{seed}", recipe, env, "--seed", str(seed), *few) for seed in (0, 1)])
    write_comparison(made, tmp_path / "out", "a command")
    read, command = read_comparison(tmp_path / "out.json")
    assert command == "a command"
    assert comparison_table(read) == comparison_table(made)
    assert list(read.groups) == list(made.groups) == [recipe]
    (ours,), (theirs,) = made.groups.values(), read.groups.values()
    assert theirs.seeds == ours.seeds == [0, 1]
    for mine, other in zip(ours.training_curves, theirs.training_curves, strict=True):
        for row, again in zip(mine, other, strict=True):
            assert again == pytest.approx(row, rel=1e-4, abs=1e-4)
    assert (tmp_path / "out.png").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"groups": {}}', '{"groups": {"rl2": {"stages": [{}]}}, "command": "x"}'])
def test_other_files_are_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"table\.json is not a table that meta-rl compare wrote"):
        read_comparison(path)


def test_a_recipe_looks_the_same_in_every_picture() -> None:
    one, other = looks(["rl2", "maml-trpo"]), looks(["reptile", "maml-trpo", "mine", "rl2"])
    assert one["rl2"] == other["rl2"]
    assert one["maml-trpo"] == other["maml-trpo"]
    assert RECIPES.keys() <= LOOKS.keys()


def test_groups_of_a_picture_are_told_apart() -> None:
    labels = ["rl2 lr 1", "rl2 lr 2", "mine", "yours", *RECIPES]
    rl = [label for label in labels if label not in RECIPES or RECIPES[label].learns == "rl"]
    drawn = [json.dumps(look) for look in looks(rl).values()]
    assert len(set(drawn)) == len(rl)
