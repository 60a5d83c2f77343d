"""Runs on one page are told apart by their tabs."""

from pathlib import Path

import pytest

from meta_rl.visualise.page.write import tabs


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["runs/a", "runs/b"], ["a", "b"]),
        (["a/run", "b/run", "c/other"], ["a/run", "b/run", "other"]),
        (["x/a/run", "y/a/run", "y/b/run"], ["x/a/run", "y/a/run", "b/run"]),
        (["a/run", "a/run", "./a/run"], ["run", "run (2)", "run (3)"]),
        (["a/run", "a/run", "b/run"], ["a/run", "a/run (2)", "b/run"]),
        (["one"], ["one"]),
    ],
)
def test_each_has_a_name_of_its_own(folders: list[str], expected: list[str]) -> None:
    assert tabs([Path(folder) for folder in folders]) == expected
