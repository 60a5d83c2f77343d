"""The numbers in README.md and docs/ are those of the files in results/."""

import re
from pathlib import Path

import pytest

from tests.test_commands import script

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKER = script("results_page").MARKER
SHARES = re.compile(r"((?:\d+(?:\.\d+)?(?: -> |, | and | to ))*\d+(?:\.\d+)?) ?%")
"""Like 95 %, or 96, 97 and 97 %."""
NUMBER = re.compile(r"\d+(?:\.\d+)?")
LINK = re.compile(r"\(((?:\.\./)?results/[\w./-]+)\)")
COMMAND = re.compile(r"(?:meta-rl|python scripts/)")
FENCE = re.compile(r"(```.*?```)", re.DOTALL)
NOT_OURS = {
    "95 % interval": "of every interval",
    "percentile-bootstrap interval": "of every interval",
    "one-sided 95 % bounds": "of a test",
    "Published": "somebody else's numbers, with their source",
    '"succeeds" in 44 %': "1 - (3/4)^2",
    "reads as 33 to 65 %": "simulated in tests/meta_rl/evaluation/test_bias.py",
    "of the users, random ratings as support": "how users are split",
    "More than 5 % of an": "a limit",
}
"""What a paragraph says whose numbers were not measured by a command, and what they are."""


def paragraphs(page: Path) -> list[tuple[str, str]]:
    """Paragraphs and items of lists, without the tables that are made, and the commands in the blocks beside each."""
    parts = FENCE.split(MARKER.sub("", page.read_text()))  # text, block, text, block, ...
    found = []
    for k in range(0, len(parts), 2):
        beside = " ".join(parts[max(0, k - 1) : k + 2 : 2])
        for block in re.split(r"\n\s*\n", parts[k]):
            found += [(item, beside) for item in re.split(r"\n(?=[*-] )", block)]
    return found


def shares_in(text: str) -> list[float]:
    """The shares that a file of results has, in per cent: written so, or as fractions."""
    per_cent = re.findall(r"(\d+(?:\.\d+)?) ?%", text)
    return [*map(float, per_cent), *(100 * float(number) for number in re.findall(r"\b(?:0\.\d+|1\.0+)\b", text))]


CITED = [(page, *found) for page in PAGES for found in paragraphs(page) if SHARES.search(found[0])]


@pytest.mark.parametrize(("page", "said", "beside"), CITED, ids=lambda x: x.name if isinstance(x, Path) else x[:30])
def test_a_share_is_in_a_file_that_its_paragraph_names(page: Path, said: str, beside: str) -> None:
    """Or its paragraph has a command that prints it, or it is nothing that was measured here."""
    if any(words in said for words in NOT_OURS):
        return
    links = [(page.parent / link).resolve() for link in LINK.findall(said)]
    assert links or COMMAND.search(said + beside), said
    known = [share for link in links if link.suffix == ".md" for share in shares_in(link.read_text())]
    for shares in SHARES.findall(said) if known else ():
        for number in NUMBER.findall(shares):
            half = 0.5 * 10.0 ** -len(number.partition(".")[2])
            assert any(abs(float(number) - share) <= half + 1e-6 for share in known), (number, shares)


def test_what_is_not_ours_is_still_said() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert [words for words in NOT_OURS if words not in text] == []


@pytest.mark.parametrize("page", script("results_page").PAGES, ids=str)
def test_tables_are_those_of_results(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a file of results/ was changed: python scripts/results_page.py."""
    monkeypatch.chdir(ROOT)
    text = page.read_text()
    assert MARKER.search(text)
    assert script("results_page").renewed(text) == text


def test_a_table_that_is_not_as_in_results_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, made = tmp_path / "page.md", script("results_page")
    page.write_text("Above.\n\n<!-- table: navigation -->\n| old |\n| --- |\n\nBelow.\n")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(made, "PAGES", (page,))
    for options, code, said in ((["--check"], 1, "not as"), ([], 0, "written"), (["--check"], 0, "")):
        with pytest.raises(SystemExit) as stop:
            made.main(options)
        assert stop.value.code == code
        assert said in capsys.readouterr().out
    above, _, rest = page.read_text().partition("<!-- table: navigation -->\n")
    table, _, below = rest.partition("\n\n")
    assert (above, below) == ("Above.\n\n", "Below.\n")
    assert table.splitlines()[2].startswith("| maml-trpo | 5 | 5.9 M | ")
