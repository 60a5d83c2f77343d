"""The site that `make docs` makes of the pages."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def entries(nav: list[Any]) -> Iterator[tuple[str, str]]:
    """Title and page of each entry of a menu; no title where mkdocs would make one."""
    for entry in nav:
        for title, below in entry.items() if isinstance(entry, dict) else [("", entry)]:
            if isinstance(below, list):
                yield from entries(below)
            else:
                yield title, below


MENU = list(entries(CONFIG["nav"]))
WORDS = ("Concepts", "Locomotion", "Navigation", "Contributing", "Changelog")
"""Titles that are plain words, and the names of their files as well."""


def made_of_its_name(title: str, page: str) -> bool:
    """Whether a title is what mkdocs would make of the name of the file: "Ml10" of ml10.md."""
    return re.sub(r"[-_ ]", "", title) == re.sub(r"[-_ ]", "", Path(page).stem).capitalize()


def test_titles_that_mkdocs_would_make_are_seen() -> None:
    assert made_of_its_name("Ml10", "results/ml10.md")
    assert made_of_its_name("Rl2 table", "results/rl2_table.md")
    assert not made_of_its_name("ML10", "results/ml10.md")


def test_every_page_is_in_the_menu_once_with_a_title_of_its_own() -> None:
    pages = [page for _, page in MENU]
    written = {f"{folder}/{page.name}" for folder in ("docs", "results") for page in (ROOT / folder).glob("*.md")}
    assert sorted(pages) == sorted({*pages})
    assert written | {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "zoo/README.md"} == {*pages}
    assert [page for title, page in MENU if not title or (made_of_its_name(title, page) and title not in WORDS)] == []
    titles = [title for title, _ in MENU]
    assert [title for title in titles if titles.count(title) > 1] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    if not all(map(importlib.util.find_spec, ("mkdocs", "material", "mkdocstrings"))):
        pytest.skip("mkdocs is not installed (extra docs)")
    folder = tmp_path_factory.mktemp("site")
    (names,) = re.findall(r"addprefix \.\./\.\./,(.*)\) build/pages/", (ROOT / "Makefile").read_text())
    pages = folder / "build" / "pages"
    pages.mkdir(parents=True)
    for name in names.split():
        (pages / name).symlink_to(ROOT / name)
    (folder / "scripts").symlink_to(ROOT / "scripts")
    (folder / "mkdocs.yml").write_bytes((ROOT / "mkdocs.yml").read_bytes())
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "site"


def test_the_site_asks_nothing_of_others(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|video|source)\b[^>]*\bsrc=\"?https?:|<link\b[^>]*\bhref=\"?https?:")
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(MENU)
    assert [str(page) for page in pages if loads.search(page.read_text())] == []


def test_pages_have_their_titles_and_their_first_lines(site: Path) -> None:
    page = (site / "results" / "baseline" / "index.html").read_text()
    assert re.search(r"<h1>Baselines of the advantages</h1>\s*<p>Command: <code>python scripts/benchmark.py", page)
    home = (site / "index.html").read_text()
    assert 'href="docs/assets/extra.css"' in home
    assert (site / "docs" / "assets" / "extra.css").exists()
    assert home.count('data-md-color-media="(prefers-color-scheme') == 3
