"""Pages as readers use them, by mouse, by keys, on paper, and as axe sees them: of one run, of several, of examples."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from meta_rl.agents.agent import load
from meta_rl.cli import main
from meta_rl.evaluation.answers import answer_episodes
from meta_rl.evaluation.record import read_evaluation
from meta_rl.evaluation.scores import INDUCTIVE
from tests.browser import browser, console_errors, requests, wait
from tests.meta_rl.conftest import TINY_FEWSHOT_COMMAND, TINY_OPTIONS


class Pages(NamedTuple):
    """Folders of runs, and the page of two of them."""

    acting: Path
    examples: Path
    several: Path

    def page(self, name: str) -> str:
        """The address of one."""
        found: Path = getattr(self, name)
        return (found if found.suffix else found / "report.html").as_uri()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """Made once: two tiny runs on navigation, one on sinusoids."""
    root = tmp_path_factory.mktemp("pages")
    acting, other, examples = root / "acting", root / "other", root / "examples"
    options = [*TINY_OPTIONS, "--iterations", "2", "--adaptation-steps", "1"]
    assert main([*options, "--run-dir", str(acting)]) == 0
    assert main([*options, "--seed", "1", "--meta-batch-size", "4", "--run-dir", str(other)]) == 0
    assert main([*TINY_FEWSHOT_COMMAND.split(), "--iterations", "2", "--run-dir", str(examples)]) == 0
    assert main(["report", str(acting), str(other), "--out", str(root / "several.html")]) == 0
    return Pages(acting, examples, root / "several.html")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all."""
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def media(driver: Any, scheme: str = "light", kind: str = "screen") -> None:
    """The system is light or dark, a screen or paper."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": features})


def window(driver: Any, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def press(driver: Any, *keys: str) -> None:
    from selenium.webdriver import Keys

    for key in keys:
        driver.switch_to.active_element.send_keys(getattr(Keys, key))


VIOLATIONS = """
const done = arguments[0];
axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
  done(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 90)).join(" | ")}`)));
"""


@pytest.mark.parametrize("name", ["acting", "several", "examples"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(driver: Any, pages: Pages, name: str, scheme: str) -> None:
    package = pytest.importorskip("axe_playwright_python", reason="axe is not installed (extra test)")
    media(driver, scheme)
    driver.get(pages.page(name))
    driver.execute_script("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    driver.execute_script((resources.files(package) / "axe.min.js").read_text(encoding="utf-8"))
    assert driver.execute_async_script(VIOLATIONS) == []


def test_the_map_is_one_stop_and_arrows_go_on(driver: Any, pages: Pages) -> None:
    window(driver, 1280)
    driver.get(pages.page("acting"))
    assert len(driver.find_elements("css selector", '.map .cell[tabindex="0"]')) == 1
    first = driver.find_element("css selector", '[data-part="test"] .tile:first-child .cell')
    driver.execute_script("arguments[0].focus()", first)

    def at() -> tuple[int, ...]:
        """Column and row of the cell that has the focus."""
        return tuple(
            driver.execute_script(
                "const c = document.activeElement, t = c.parentElement;"
                "return [[...t.parentElement.children].indexOf(t), Number(c.dataset.stage)]"
            )
        )

    walk = []
    for key in ("ARROW_RIGHT", "ARROW_DOWN", "ARROW_LEFT", "ARROW_UP", "END", "HOME"):
        press(driver, key)
        walk.append(at())
    last = len(driver.find_elements("css selector", '[data-part="test"] .tile')) - 1
    assert walk == [(1, 0), (1, 1), (0, 1), (0, 0), (last, 0), (0, 0)]
    assert len(driver.find_elements("css selector", '.map .cell[tabindex="0"]')) == 1
    tip = driver.find_element("css selector", ".map .tip")
    assert tip.is_displayed()
    assert tip.text == driver.switch_to.active_element.get_attribute("aria-label")
    press(driver, "ESCAPE")
    assert not tip.is_displayed()


def test_the_map_keeps_the_focus_when_its_bands_change(driver: Any, pages: Pages) -> None:
    window(driver, 1280)
    driver.get(pages.page("acting"))
    cell = driver.find_element("css selector", '[data-part="test"] .tile:last-child .cell')
    driver.execute_script("arguments[0].focus()", cell)
    window(driver, 420)
    wait(lambda: driver.execute_script("return document.querySelector('.map').clientWidth") < 420)
    time.sleep(0.3)  # the observer comes after the layout
    assert driver.switch_to.active_element == cell


def test_the_map_is_sorted_by_gain_and_back(driver: Any, pages: Pages) -> None:
    driver.get(pages.page("acting"))
    returns = np.array(
        [task["returns"] for task in json.loads((pages.acting / "evaluation.json").read_text())["per_task"]]
    )
    means = returns.mean(-1) if returns.ndim > 2 else returns
    gains = means[:, -1] - means[:, 0]

    def numbers() -> list[int]:
        found = driver.find_elements("css selector", '[data-part="test"] .tile')
        return [int(tile.get_attribute("data-number")) for tile in found]

    assert numbers() == np.argsort(-gains, kind="stable").tolist()
    driver.find_element("css selector", '[data-order="number"]').click()
    assert numbers() == list(range(len(gains)))
    driver.find_element("css selector", '[data-order="gain"]').click()
    assert numbers() == np.argsort(-gains, kind="stable").tolist()


@pytest.mark.parametrize("width", [1280, 420])
def test_every_band_of_the_map_names_its_stages(driver: Any, pages: Pages, width: int) -> None:
    window(driver, width)
    driver.get(pages.page("acting"))
    # Forty more tasks: more than one band at any width.
    driver.execute_script(
        "const t = document.querySelector('[data-part=test] .tiles');"
        "for (let i = 0; i < 40; i++) t.append(t.firstElementChild.cloneNode(true));"
        "const map = document.querySelector('.map'), whole = map.cloneNode(true); map.replaceWith(whole);"
    )
    script = (resources.files("meta_rl.visualise") / "assets" / "heatmap.js").read_text()
    driver.execute_script(script)
    found = driver.execute_async_script(
        """
        const done = arguments[0];
        const bands = () => [...document.querySelectorAll("[data-part=test] .band-of")];
        const laid = (tries) => bands().length > 1 || !tries ? tell() : setTimeout(laid, 100, tries - 1);
        const tell = () => done(bands().map((band) => {
          const box = (e) => e.getBoundingClientRect(), tiles = [...band.querySelectorAll(".tile")];
          return { names: band.querySelector(".names").innerText.split("\\n").filter(Boolean), top: box(band).top,
            bottom: box(band).bottom, rows: new Set(tiles.map((tile) => box(tile).top)).size,
            right: Math.max(...tiles.map((tile) => box(tile).right)), cell: [box(band.querySelector(".cell")).width,
            box(band.querySelector(".cell")).height] };
        }));
        setTimeout(laid, 300, 100);
        """
    )
    window(driver, 1280)
    assert len(found) > 1
    assert all(band["names"] == ["before", "after 1"] for band in found)
    assert all(band["rows"] == 1 and band["right"] <= width and min(band["cell"]) >= 24 for band in found)
    assert all(above["bottom"] + 8 <= below["top"] for above, below in itertools.pairwise(found))


def test_a_chart_tells_its_values_by_keys_and_by_mouse(driver: Any, pages: Pages) -> None:
    from selenium.webdriver import ActionChains

    driver.get(pages.page("acting"))
    rows = [json.loads(line) for line in (pages.acting / "metrics.jsonl").read_text().splitlines()]
    plot = driver.find_element("css selector", '[data-chart="training-return"] .chart-box')
    driver.execute_script("arguments[0].focus()", plot)
    press(driver, "END")
    told = plot.find_element("css selector", ".readout")
    assert f"after 1 adaptation step: {float(format(rows[-1]['return/stage_1'], '.4g')):g}" in told.text
    press(driver, "HOME")
    assert f"before adaptation: {float(format(rows[0]['return/stage_0'], '.4g')):g}" in told.text
    press(driver, "ESCAPE")
    assert not told.is_displayed()
    pairs = driver.find_element("css selector", '[data-chart="adaptation-return"] .chart-box')
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", pairs)
    ActionChains(driver).move_to_element(pairs).perform()
    assert "navigation, task" in pairs.find_element("css selector", ".readout").text
    assert "test tasks" in pairs.find_element("css selector", ".readout").text


def test_groups_are_shown_and_hidden_in_all_charts(driver: Any, pages: Pages) -> None:
    driver.get(pages.page("several"))
    buttons = driver.find_elements("css selector", ".groups button")
    names = [button.get_attribute("data-group") for button in buttons]
    assert len(set(names)) == 2
    assert "maml-trpo meta_batch_size=4" in names
    seen = "return document.querySelectorAll('.comparison .chart g[data-of]:not([hidden])').length"
    whole = driver.execute_script(seen)
    buttons[1].click()
    assert driver.execute_script(seen) == whole / 2
    buttons[1].click()
    assert driver.execute_script(seen) == whole
    tabs = [tab.text for tab in driver.find_elements("css selector", "[role=tab]")]
    assert tabs == ["maml-trpo, seed 0, acting", "maml-trpo, seed 1, other"]
    settings = driver.find_element("css selector", '[aria-label="What differs between the groups"]').text
    assert "meta batch size" in settings
    assert "seed" not in settings


def test_paper_is_light_and_has_nothing_to_press(driver: Any, pages: Pages) -> None:
    driver.get(pages.page("several"))
    media(driver, "dark", "print")
    try:
        assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
        for selector in (".theme", ".tabs", ".controls", ".copy", ".order"):
            assert not driver.find_element("css selector", selector).is_displayed(), selector
        assert all(run.is_displayed() for run in driver.find_elements("css selector", ".run"))
        cell = driver.find_element("css selector", ".cell")
        assert cell.value_of_css_property("print-color-adjust") == "exact"
        figure = driver.find_element("css selector", ".charts figure")
        assert figure.value_of_css_property("break-inside") == "avoid"
    finally:
        media(driver)


def test_the_slider_shows_the_answers_of_its_step(driver: Any, pages: Pages) -> None:
    driver.get(pages.page("examples"))
    episodes = driver.find_elements("css selector", ".episode")
    assert len(episodes) == 3
    found = answer_episodes(load(pages.examples), read_evaluation(pages.examples))
    slider = driver.find_element("css selector", ".answers input")
    for step in (1, 0):
        driver.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", slider, step
        )
        shown = driver.find_elements("css selector", ".episode g[data-step]:not([hidden])")
        assert [line.get_attribute("data-step") for line in shown] == [str(step)] * 3
        error = np.abs(found.episodes[0].answers[step] - found.episodes[0].query.label).mean()
        assert f"mean error {error:.2f}" in episodes[0].text
    assert slider.get_attribute("aria-valuetext") == "before adaptation"


def test_answers_are_those_that_were_judged(pages: Pages) -> None:
    """Their squared errors are the scores of the evaluation, of the same episodes."""
    record = read_evaluation(pages.examples)
    found = answer_episodes(load(pages.examples), record)
    assert found.steps == [stage.steps for stage in record.stages]
    for number, episode in enumerate(found.episodes):
        error = ((episode.answers - episode.query.label) ** 2).mean(-1)
        assert np.allclose(error, record.values[INDUCTIVE]["mse"][number, :, 0], rtol=1e-4)
        assert episode.curve.shape == (2, len(episode.inputs))


def test_all_of_this_asks_nothing_of_the_network(driver: Any, pages: Pages) -> None:
    assert console_errors(driver) == []
    assert set(requests(driver)) == {pages.page(name) for name in ("acting", "several", "examples")}
