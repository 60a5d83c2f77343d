"""The page of a report, in a real browser: what it shows is there, and it asks nothing of the network."""

from __future__ import annotations

import html
import io
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from envs import NoDisplayError, gl
from meta_rl.cli import main
from meta_rl.cli.commands import parse_train
from meta_rl.cli.showing import evaluate_with_page, report_page
from meta_rl.config import TrainConfig, load_config
from meta_rl.evaluation import compare
from meta_rl.evaluation.scores import show_below
from meta_rl.training.train import train
from meta_rl.visualise.page.together import together
from meta_rl.visualise.page.write import LIMIT, _render
from tests.browser import browser, console_errors, requests, wait
from tests.meta_rl.conftest import TINY_OPTIONS
from tests.meta_rl.evaluation.test_compare import with_stock
from tests.meta_rl.training.test_train import assert_same_run


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def report(reach: Path) -> Path:
    """The page of the Meta-World run."""
    evaluate_with_page(reach, load_config(reach / "config.json").evaluate, quiet)
    return reach / "report.html"


@pytest.fixture(scope="module")
def page(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """It, opened."""
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        driver.get(report.as_uri())
        wait(lambda: shown(driver))
        yield driver


def shown(page: Any) -> str:
    """Split, row and stage of the episode in the replay."""
    return page.find_element("css selector", "[data-replay]").get_attribute("data-shown") or ""


def text(page: Any, selector: str) -> str:
    return page.find_element("css selector", selector).text


def pixels(page: Any, selector: str) -> np.ndarray:
    """What is seen of an element."""
    image = Image.open(io.BytesIO(page.find_element("css selector", selector).screenshot_as_png))
    return np.asarray(image.convert("RGB")).astype(int)


def choose(page: Any, part: str, task: int, stage: int) -> None:
    """Click a cell of the heatmap."""
    cell = f'[data-part="{part}"] .cell[data-task="{task}"][data-stage="{stage}"]'
    page.find_element("css selector", cell).click()
    wait(lambda: shown(page) == f"{part} {task} {stage}")


def drag_to_the_end(page: Any) -> None:
    """Stop, at the last moment."""
    page.execute_script(
        "const t = document.querySelector('[data-time]'); t.value = t.max; t.dispatchEvent(new Event('input'));"
    )


def test_the_page_is_one_small_file(report: Path) -> None:
    assert report.stat().st_size < LIMIT


def test_curves_heatmap_video_and_replay_are_there(page: Any, reach: Path) -> None:
    tasks = len(json.loads((reach / "evaluation.json").read_text())["per_task"])
    assert text(page, "h1") == "metaworld/reach-v3,drawer-open-v3"
    pairs = page.find_elements("css selector", '[data-chart="adaptation-return"] .join')
    assert len(pairs) == tasks  # before and after one step
    cells = page.find_elements("css selector", ".cell")
    assert len(cells) == (tasks + 2) * 2  # before and after; and a training task of each family
    assert {h.text for h in page.find_elements("css selector", '[data-part="test"] h4')} == {
        "reach-v3",
        "drawer-open-v3",
    }
    try:
        gl.backend()
    except NoDisplayError as error:
        pytest.skip(f"no video: {error}")
    pytest.importorskip("av")
    size = "const v = document.querySelector('video'); return v.readyState >= 2 ? [v.videoWidth, v.duration] : null"
    width, seconds = wait(lambda: page.execute_script(size))
    assert width == 642
    assert 5 < seconds < 10


def test_the_replay_is_drawn_and_moves(page: Any) -> None:
    choose(page, "test", 0, 1)
    drag_to_the_end(page)
    picture = pixels(page, ".stage")
    assert picture.std() > 20  # the arm, the table, the sky
    red = (picture[..., 0] > picture[..., 1] + 40) & (picture[..., 0] > picture[..., 2] + 40)
    assert red.sum() > 500  # the arm
    choose(page, "test", 1, 1)
    drag_to_the_end(page)
    assert (np.abs(picture - pixels(page, ".stage")).max(-1) > 40).sum() > 1000  # another family


@pytest.mark.parametrize(("task", "stage"), [(0, 0), (2, 1)])
def test_a_cell_opens_its_episode(page: Any, reach: Path, task: int, stage: int) -> None:
    evaluated = json.loads((reach / "evaluation.json").read_text())["per_task"][task]
    choose(page, "test", task, stage)
    drag_to_the_end(page)
    after = wait(lambda: text(page, "[data-return-after]"))
    assert after.startswith(f"return {evaluated['returns'][stage][0]:.2f}"[:10])
    number = float(after.removeprefix("return ").partition(",")[0])
    assert number == pytest.approx(evaluated["returns"][stage][0], rel=1e-4)
    assert text(page, "[data-step]") == "500 / 500"
    assert f"{evaluated['family']}, test task {task}, " in text(page, "[data-what]")
    pressed = page.find_elements("css selector", '.cell[aria-pressed="true"]')
    assert len(pressed) == 1
    if stage:
        before = float(text(page, "[data-return-before]").removeprefix("return ").partition(",")[0])
        assert before == pytest.approx(evaluated["returns"][0][0], rel=1e-4)


def test_the_page_says_what_the_tasks_are_and_who_learns_them(page: Any) -> None:
    tasks, learner = (span.text for span in page.find_elements("css selector", ".about span"))
    assert tasks.startswith("A robot arm has 2 skills.")
    assert learner.startswith("Learner: MAML")


def test_dragging_turns_the_camera(page: Any) -> None:
    from selenium.webdriver import ActionChains

    choose(page, "training", 0, 1)
    drag_to_the_end(page)
    first = pixels(page, ".stage")
    canvas = page.find_element("css selector", "canvas.solid")
    ActionChains(page).drag_and_drop_by_offset(canvas, 80, 10).perform()
    assert (np.abs(first - pixels(page, ".stage")).max(-1) > 40).sum() > 500


GROUND = "return getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(246, 247, 249)", "rgb(13, 16, 23)"


def system(page: Any, scheme: str) -> None:
    """The system's colours become light or dark."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def test_light_and_dark(page: Any) -> None:
    """The system decides, until a reader does; that choice is there after loading again."""
    for scheme, ground in (("dark", DARK), ("light", LIGHT)):
        system(page, scheme)
        assert page.execute_script(GROUND) == ground
        for selector in (
            ".eyebrow",
            ".about",
            ".lede",
            ".stat h2",
            ".stat .quiet",
            ".change",
            "td",
            "th",
            ".below",
            "summary",
            "pre",
        ):
            assert least_contrast(page, selector) >= 4.5, (scheme, selector)
    page.find_element("css selector", ".theme").click()
    assert page.execute_script(GROUND) == DARK
    page.refresh()
    wait(lambda: shown(page))
    assert page.execute_script(GROUND) == DARK
    page.find_element("css selector", ".theme").click()
    assert page.execute_script(GROUND) == LIGHT


def least_contrast(page: Any, selector: str) -> float:
    """The lowest contrast of text and ground among the elements, by the formula of WCAG 2."""
    found: float = page.execute_script(
        """
        const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const light = (colour) => {
          const even = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
          const [r, g, b] = numbers(colour).map((x) => even(x / 255));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = (element) => {
          for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if ((numbers(colour)[3] ?? 1) > 0) return colour;
          }
        };
        return Math.min(...[...document.querySelectorAll(arguments[0])].map((element) => {
          const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
          return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        }));
        """,
        selector,
    )
    return found


def test_headings_go_down_one_level_at_a_time(page: Any) -> None:
    levels = page.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_a_command_is_copied(page: Any) -> None:
    page.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    (button, *_) = page.find_elements("css selector", ".copy")
    button.click()
    wait(lambda: button.text in ("Copied", "Selected"))
    wait(lambda: button.text == "Copy")


HIDDEN = """return [...document.querySelectorAll('.scroll')]
    .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth).map((e) => e.getAttribute('aria-label'))"""
"""Tables of which a part is out of sight."""


def test_no_error_and_nothing_leaves_the_page(page: Any, report: Path) -> None:
    # The last test on the open page: everything above has happened by now.
    assert console_errors(page) == []
    assert set(requests(page)) == {report.as_uri()}


@pytest.mark.parametrize("width", [1280, 420])
def test_nothing_is_wider_than_the_window(report: Path, tmp_path: Path, width: int) -> None:
    with browser(tmp_path, width) as driver:
        driver.get(report.as_uri())
        wait(lambda: shown(driver))
        assert driver.execute_script("return document.documentElement.scrollWidth") == width
        for table in driver.find_elements("css selector", ".scroll"):
            assert table.get_attribute("tabindex") == "0"
            assert table.get_attribute("role") == "region"
        hidden = driver.execute_script(HIDDEN)
        assert set(hidden) <= ({"Numbers", "By family"} if width < 1000 else set())
        ground = "return getComputedStyle(document.querySelector('.scroll')).backgroundAttachment"
        assert (
            driver.execute_script(ground) == "local, local, scroll, scroll"
        )  # covers that move with the table, over shades that do not
        assert driver.execute_script(
            "return [...document.querySelectorAll('pre')].every((e) => e.scrollWidth <= e.clientWidth)"
        )


@pytest.fixture
def trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Path]:
    """``trained(seed)``: a tiny run on navigation, through the command line."""

    def make(seed: str) -> Path:
        folder = tmp_path / f"seed{seed}"
        assert main([*TINY_OPTIONS, "--iterations", "2", "--seed", seed, "--run-dir", str(folder)]) == 0
        return folder

    return make


def test_training_ends_with_the_path_of_the_page(
    trained: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained("0")
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {folder / 'report.html'}"
    page = (folder / "report.html").read_text()
    assert "resumed from a checkpoint</td><td>0 times" in page


def test_a_resumed_run_says_so(trained: Callable[[str], Path], tiny: Callable[..., TrainConfig]) -> None:
    folder = trained("0")
    assert main([*TINY_OPTIONS, "--iterations", "2", "--run-dir", str(folder)]) == 0  # nothing left to do
    assert not (folder / "resumes.jsonl").exists()
    (folder / "checkpoints" / "00000002").rename(folder / "elsewhere")
    assert main([*TINY_OPTIONS, "--iterations", "2", "--run-dir", str(folder)]) == 0
    assert "resumed from a checkpoint</td><td>1 time (after iteration 1)" in (folder / "report.html").read_text()


def test_several_runs_share_a_page(trained: Callable[[str], Path], tmp_path: Path) -> None:
    from selenium.webdriver import Keys

    out = tmp_path / "both.html"
    assert main(["report", str(trained("0")), str(trained("1")), "--out", str(out)]) == 0
    with browser(tmp_path / "profile") as driver:
        driver.get(out.as_uri())
        wait(lambda: shown(driver))
        assert "All runs together" in text(driver, ".comparison")
        assert driver.execute_script(HIDDEN) == []
        tabs = driver.find_elements("css selector", "[role=tab]")
        assert [tab.get_attribute("aria-controls") for tab in tabs] == ["run-0", "run-1"]

        def opened() -> tuple[Any, ...]:
            """Of each tab whether it is chosen, whether its run is seen, and whether the Tab key stops there."""
            runs = driver.find_elements("css selector", ".run")
            return tuple(
                (tab.get_attribute("aria-selected"), run.is_displayed(), tab.get_attribute("tabindex") or "0")
                for tab, run in zip(tabs, runs, strict=True)
            )

        first, other = ("true", True, "0"), ("false", False, "-1")
        assert opened() == (first, other)
        tabs[0].click()
        for key, chosen in (("ARROW_RIGHT", 1), ("ARROW_LEFT", 0), ("ARROW_LEFT", 1), ("HOME", 0), ("END", 1)):
            driver.switch_to.active_element.send_keys(getattr(Keys, key))
            assert opened() == [(first, other), (other, first)][chosen]
        second = '.run[data-run="1"] [data-part="training"] .cell[data-task="2"]'
        driver.find_element("css selector", second).click()
        replay = driver.find_elements("css selector", "[data-replay]")[1]
        wait(lambda: replay.get_attribute("data-shown") == "training 2 0")
        plane = driver.execute_script(
            "const c = document.querySelectorAll('.stage canvas')[1];"
            "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
        )
        assert len(set(plane)) > 5  # the path, the goal, the grid
        assert console_errors(driver) == []
        assert requests(driver) == [out.as_uri()]


def test_a_few_shot_run_has_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "sinusoid"
    options = ["--iterations", "3", "--test-tasks", "8", "--adaptation-steps", "2", "--run-dir", str(folder)]
    assert main(["train", "maml", "--env", "sinusoid-5shot", *options]) == 0
    with browser(tmp_path / "profile") as driver:
        driver.get((folder / "report.html").as_uri())
        assert text(driver, "h1") == "sinusoid-5shot"
        assert driver.find_elements("css selector", '[data-chart^="adaptation-"] polyline')
        assert not driver.find_elements("css selector", "[data-replay]")
        assert console_errors(driver) == []
        assert requests(driver) == [(folder / "report.html").as_uri()]


def test_without_pyav_training_ends_and_says_what_is_missing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['av'] = None; from meta_rl.cli import main;"
        f"sys.exit(main({[*TINY_OPTIONS, '--iterations', '1', '--run-dir', str(tmp_path / 'run')]!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    missing = "video: PyAV is not installed; pip install 'meta-rl[video]'"
    assert done.stdout.splitlines()[-2:] == [
        f"no video on the page: {missing}",
        f"report: {tmp_path / 'run' / 'report.html'}",
    ]
    assert "PyAV is not installed" in (tmp_path / "run" / "report.html").read_text()


def test_without_opengl_the_page_has_everything_but_the_video(reach: Path, report: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"} | {"MUJOCO_GL": "glfw"}
    out = tmp_path / "x.html"
    command = [sys.executable, "-m", "meta_rl.cli", "report", str(reach), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "no video on the page: no OpenGL to draw MuJoCo scenes with (tried glfw); apt-get" in done.stdout
    page = out.read_text()
    assert "no OpenGL to draw MuJoCo scenes with" in page
    assert "data-replay" in page
    assert "<video" not in page


def test_without_opengl_training_is_the_same_and_says_why_there_is_no_video(tmp_path: Path) -> None:
    """Beside a run in this process, which may have OpenGL."""
    options = [*TINY_OPTIONS, "--env", "metaworld/ml1-reach-v3", "--iterations", "1", "--test-tasks", "2"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(parse_train([*options[1:], "--run-dir", str(whole)]), quiet)
    environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"} | {"MUJOCO_GL": "glfw"}
    command = [sys.executable, "-m", "meta_rl.cli", *options, "--run-dir", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert_same_run(whole, run)
    assert "no video on the page: no OpenGL to draw MuJoCo scenes with (tried glfw); apt-get" in done.stdout
    assert done.stdout.splitlines()[-1] == f"report: {run / 'report.html'}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RUN: name the run directories, as in: meta-rl report runs/A [runs/B ...] [--out report.html]"),
        (["nowhere"], "RUN: nowhere is not a run directory (it has no config.json)"),
        (["nowhere", "--ot", "x"], "unknown option '--ot'; closest: --out"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *arguments]) == 2
    assert capsys.readouterr().err == f"meta-rl report: {message}\n"


@pytest.fixture
def evaluation(reach: Path, report: Path) -> Iterator[dict[str, Any]]:
    """That of the run, to be changed; the file is put back afterwards."""
    path = reach / "evaluation.json"
    kept = path.read_text()
    yield json.loads(kept)
    path.write_text(kept)


def test_a_run_that_went_on_since_its_evaluation_is_told(
    reach: Path, evaluation: dict[str, Any], tmp_path: Path
) -> None:
    """Its numbers are shown; its episodes are not, where they were not kept."""
    (reach / "evaluation.json").write_text(json.dumps(evaluation | {"iteration": 3}))
    said: list[str] = []
    page = report_page([reach], tmp_path / "x.html", said.append).path.read_text()
    assert said[0].startswith(f"{reach} has gone on since its evaluation, which the page shows; a new one: meta-rl ")
    assert "Iteration 0 of 0; judged after iteration 3." in page
    assert "Numbers" in page
    assert 'class="watch"' not in page


def test_episodes_that_are_not_quite_the_evaluated_ones_are_told(
    reach: Path, evaluation: dict[str, Any], tmp_path: Path
) -> None:
    evaluation["per_task"][0]["returns"][0][0] += 1
    (reach / "evaluation.json").write_text(json.dumps(evaluation))
    said: list[str] = []
    report_page([reach], tmp_path / "x.html", said.append)
    assert sum("not quite the evaluated episodes" in line for line in said) == 1


def tables_of(page: str) -> list[list[list[str]]]:
    """The cells of every table of a page, in the lines that each has."""
    found = re.findall(r"<table.*?>(.*?)</table>", page, re.DOTALL)
    rows = [
        [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", one)] for one in found
    ]

    def lines(cell: str) -> str:
        return html.unescape(cell.replace('<span class="below">', "\n").replace("</span>", ""))

    return [[[lines(cell) for cell in row] for row in one] for one in rows]


def test_both_tables_of_a_comparison_are_on_the_page() -> None:
    """Scores, and Meta-World's own evaluator; every row has the cells that its head names."""
    compared = with_stock()
    assert tables_of(_render([], together(compared, []), {})) == [
        cells for _, cells in compare.comparison_tables(compared, show_below)
    ]


def test_few_shot_runs_are_compared_on_their_page(tmp_path: Path) -> None:
    options = ["--iterations", "1", "--test-tasks", "3", "--adaptation-steps", "1", "--device", "cpu"]
    runs = [str(tmp_path / f"s{seed}") for seed in "01"]
    for seed, run in enumerate(runs):
        assert main(["train", "maml", "--env", "sinusoid-5shot", *options, "--seed", str(seed), "--run-dir", run]) == 0
    assert main(["report", *runs, "--out", str(tmp_path / "both.html")]) == 0
    page = (tmp_path / "both.html").read_text()
    assert "All runs together" in page
    ((_, cells),) = compare.comparison_tables(compare.compare(runs), show_below)
    assert [row[0] for row in cells[1:3]] == ["maml", "maml"]
    assert tables_of(page)[0] == cells
