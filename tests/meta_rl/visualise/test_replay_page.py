"""The replay on the page in a real browser: its transport, camera, plots and links, with many runs on one page."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import envs
from meta_rl.config import default_config, load_config, replace_paths
from meta_rl.errors import ConfigError
from meta_rl.evaluation.playing import Played, Shown
from meta_rl.evaluation.record import Evaluated
from meta_rl.evaluation.recording import Recording
from meta_rl.evaluation.report import evaluate_and_record
from meta_rl.training.train import train
from meta_rl.visualise import video
from meta_rl.visualise.page.write import write_page
from tests.browser import browser, console_errors, requests, wait
from tests.meta_rl.visualise.test_page import pixels, quiet, shown

RUNS = 20
"""Runs with a robot; browsers drop WebGL contexts from about sixteen on."""
COUNT_CONTEXTS = """
const get = HTMLCanvasElement.prototype.getContext;
window.contexts = 0;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  if (kind.startsWith("webgl")) window.contexts += 1;
  return get.call(this, kind, ...rest);
};
"""


class Site(NamedTuple):
    """A page with many robots and, in its last tab, a bandit."""

    driver: Any
    address: str
    robot: Recording
    bandit: Recording


def no_video() -> None:
    """Stand for PyAV that is not there, which saves seconds."""
    raise ConfigError("no video in this test")


def judged(folder: Path, chosen: list[int]) -> Shown:
    """A run with its evaluation, and some tasks of it."""
    config = load_config(folder / "config.json")
    record, recording = evaluate_and_record(folder, config.evaluate, quiet)
    assert recording is not None
    played = Played(recording.select(chosen), envs.make(config.env, "test"))
    return Shown(Evaluated(folder, config, record), {"test": played})


@pytest.fixture(scope="module")
def site(reach: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page, opened."""
    with opened(reach, tmp_path_factory.mktemp("site"), RUNS) as site:
        yield site


@contextmanager
def opened(reach: Path, place: Path, robots: int) -> Iterator[Site]:
    """A page in the folder `place`, with so many robots."""
    small = {"iterations": 0, "device": "cpu", "evaluate.test_tasks": 2, "evaluate.adaptation_episodes": 3}
    config = replace_paths(default_config("rl2", "bandit/k5-n10"), {**small, "run_dir": str(place / "bandit")})
    bandit = train(config, quiet)
    robot, arms = judged(reach, [1]), judged(bandit, [0, 1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video, "require_av", no_video)
        out = write_page([robot] * robots + [arms], place / "report.html", quiet).path
    with browser(place / "profile") as driver:
        driver.execute_cdp_cmd("Page.enable", {})
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": COUNT_CONTEXTS})
        driver.get(out.as_uri())
        wait(lambda: shown(driver))
        # The ring around what has the focus is no part of the pictures that are compared.
        driver.execute_script(
            "document.head.insertAdjacentHTML('beforeend', '<style>canvas { outline: 0 !important }')"
        )
        yield Site(driver, out.as_uri(), robot.played["test"].recording, arms.played["test"].recording)


def go_to(site: Site, moment: str) -> None:
    """Follow a link on the page itself."""
    site.driver.execute_script("location.hash = 'elsewhere'; location.hash = arguments[0]", moment)
    wait(lambda: seen(site, "[data-step]").startswith(f"{moment.partition('@')[2]} /"))


def part(site: Site, selector: str) -> Any:
    """The element in the run that is open."""
    return site.driver.find_element("css selector", f".run:not([hidden]) {selector}")


def seen(site: Site, selector: str) -> str:
    text: str = part(site, selector).text
    return text


def picture(site: Site) -> np.ndarray:
    site.driver.execute_script("arguments[0].scrollIntoView({ block: 'nearest' })", part(site, ".stage"))
    return pixels(site.driver, ".run:not([hidden]) .stage")


def press(site: Site, *keys: str) -> None:
    """Keys on the picture."""
    part(site, ".stage canvas").send_keys(*keys)


def differ(one: np.ndarray, other: np.ndarray) -> int:
    """Pixels that are clearly not the same."""
    return int((np.abs(one - other).max(-1) > 40).sum())


ROBOT = "#reach/test/1/1@300"


def test_a_link_opens_its_moment(site: Site) -> None:
    go_to(site, ROBOT)
    slider, play = part(site, "[data-time]"), part(site, "[data-play]")
    assert seen(site, "[data-step]") == "300 / 500"
    assert slider.get_attribute("aria-valuetext") == "step 300 of 500, after 1 adaptation step"
    assert "test task 1, after 1 adaptation step" in seen(site, "[data-what]")
    assert (play.get_attribute("aria-label"), play.text) == ("Play", "▶")
    for nonsense in ("#nowhere/test/1/1@3", "#reach/test/7/1", "#reach/test/1/9@3", "#%E0/test/1/1", "#reach"):
        site.driver.execute_script("location.hash = arguments[0]", nonsense)
    assert seen(site, "[data-step]") == "300 / 500"


def test_keys_step_play_turn_and_zoom(site: Site) -> None:
    from selenium.webdriver import Keys

    go_to(site, ROBOT)
    canvas = part(site, ".stage canvas")
    assert (canvas.get_attribute("role"), canvas.get_attribute("tabindex")) == ("img", "0")
    assert "test task 1" in canvas.get_attribute("aria-label")
    press(site, "..,")
    assert seen(site, "[data-step]") == "301 / 500"
    assert part(site, "[data-time]").get_attribute("aria-valuetext").startswith("step 301 of 500")
    press(site, ",")
    press(site, " ")
    wait(lambda: part(site, "[data-play]").get_attribute("aria-label") == "Pause")
    wait(lambda: seen(site, "[data-step]") != "300 / 500")
    press(site, " ")
    assert part(site, "[data-play]").get_attribute("aria-label") == "Play"
    go_to(site, ROBOT)
    first = picture(site)
    for keys in ((Keys.ARROW_LEFT, Keys.ARROW_LEFT), (Keys.ARROW_UP,), ("+++",)):
        press(site, *keys)
        assert differ(first, picture(site)) > 500
        press(site, "0")
        assert differ(first, picture(site)) == 0


def test_the_speed_is_that_of_the_episode(site: Site) -> None:
    options = site.driver.find_elements("css selector", ".run:not([hidden]) [data-speed] option")
    assert [option.get_attribute("value") for option in options] == ["0.25", "0.5", "1", "2", "4"]
    # An episode takes six seconds at speed 1, so 1.2 of them show 100 of its 500 steps. The frames are told the time
    # here: those of a busy machine come when they can.
    passed = []
    for speed in ("0.25", "1", "4"):
        go_to(site, "#reach/test/1/1@0")
        passed.append(
            site.driver.execute_script(
                """
                const root = document.querySelector("[data-replay]"), frames = [], real = window.requestAnimationFrame;
                window.requestAnimationFrame = (frame) => frames.push(frame);
                root.querySelector("[data-speed]").value = arguments[0];
                root.querySelector("[data-play]").click();
                for (const now of [0, 600, 1200]) frames.shift()(now);
                root.querySelector("[data-play]").click();
                frames.shift()(1300);
                window.requestAnimationFrame = real;
                return [Number(root.querySelector("[data-time]").value), frames.length];
                """,
                speed,
            )
        )
    site.driver.execute_script("document.querySelector('[data-speed]').value = '1'")
    assert passed == [[25, 0], [100, 0], [400, 0]]


WHEEL = """
return document.querySelector(".stage canvas").dispatchEvent(
  new WheelEvent("wheel", { deltaY: arguments[0], bubbles: true, cancelable: true }))
"""
"""Whether the page scrolls on."""


def test_the_wheel_zooms_within_limits_and_a_double_click_resets(site: Site) -> None:
    from selenium.webdriver import ActionChains

    go_to(site, ROBOT)
    first = picture(site)
    for turn in (-120, 120):
        assert not site.driver.execute_script(WHEEL, turn)  # it zooms
        wait(lambda turn=turn: site.driver.execute_script(WHEEL, turn))  # at the end of its range
        ended = picture(site)
        assert differ(first, ended) > 1000
        assert site.driver.execute_script(WHEEL, turn)
        assert differ(ended, picture(site)) == 0
    ActionChains(site.driver).double_click(part(site, ".stage canvas")).perform()
    assert differ(first, picture(site)) == 0


def test_the_right_button_and_two_fingers_move(site: Site) -> None:
    go_to(site, ROBOT)
    first, canvas = picture(site), part(site, ".stage canvas")
    site.driver.execute_script("arguments[0].scrollIntoView({ block: 'center' })", canvas)
    box = site.driver.execute_script("return arguments[0].getBoundingClientRect()", canvas)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def mouse(kind: str, right: float) -> None:
        how = {"type": kind, "x": x + right, "y": y, "button": "right", "buttons": 2, "clickCount": 1}
        site.driver.execute_cdp_cmd("Input.dispatchMouseEvent", how)

    for kind, right in (("mousePressed", 0), ("mouseMoved", 30), ("mouseMoved", 60), ("mouseReleased", 60)):
        mouse(kind, right)
    moved = picture(site)
    # What is at the camera's own distance goes as far as the mouse; the sky and far things less, so most of it does.
    assert differ(first, moved) > 5000
    press(site, "0")

    def touch(kind: str, *apart: float) -> None:
        points = [{"x": x + side, "y": y, "id": i} for i, side in enumerate(apart)]
        site.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -30)
    touch("touchStart", -30, 30)
    touch("touchMove", -60, 60)
    touch("touchMove", -90, 90)
    touch("touchEnd")
    pinched = picture(site)
    press(site, "+++++++")  # about as much: 1.18 ^ 7 = 3.2
    assert differ(first, pinched) > 5000
    press(site, "0")
    assert differ(first, picture(site)) == 0


def test_what_moves_stays_in_the_picture(site: Site) -> None:
    for step in (0, 100, 250, 500):
        go_to(site, f"#reach/test/1/1@{step}")
        edge = picture(site)
        frame = np.concatenate([edge[:3].reshape(-1, 3), edge[:, :3].reshape(-1, 3), edge[:, -3:].reshape(-1, 3)])
        assert not ((frame[:, 0] > frame[:, 1] + 40) & (frame[:, 0] > frame[:, 2] + 60)).any()  # the red arm


def test_a_camera_backs_off_and_moves_until_all_is_seen(site: Site) -> None:
    """Points go through the whole projection that draws them."""
    marks = {"look_at": [0, 0.6, 0.2], "distance": 2, "azimuth": 235, "elevation": -22}
    rng = np.random.default_rng(0)
    points = rng.uniform([-0.6, -0.3, 0], [0.9, 0.2, 1.4], (40, 3)).tolist()
    far, distance = site.driver.execute_script(
        """
        const [marks, points] = arguments, camera = new Camera(marks, [...points, [9, 9, 9]], 4 / 3);
        const seen = Matrix.multiply(Matrix.perspective(4 / 3), camera.view([0, 0, 0]).matrix);
        const far = points.map((p) => p.map((x, n) => x + marks.look_at[n])).flatMap(([x, y, z]) => {
          const [a, b, , w] = [0, 1, 2, 3].map((r) => seen[r] * x + seen[4 + r] * y + seen[8 + r] * z + seen[12 + r]);
          return [Math.abs(a / w), Math.abs(b / w)];
        });
        return [Math.max(...far), camera.distance()];
        """,
        marks,
        points,
    )
    assert 0.9 < far <= 0.95  # no further than it takes, in spite of the one that flew off
    assert distance > 2
    assert site.driver.execute_script("return new Camera(arguments[0], [[0, 0, 0]], 1).distance()", marks) == 2


def test_plots_are_in_step(site: Site) -> None:
    go_to(site, ROBOT)
    names = [row.text.split("\n")[0] for row in site.driver.find_elements("css selector", ".run:not([hidden]) .plot")]
    assert names == ["reward", "success", *(f"action {n}" for n in range(1, 5)), "step"]
    (before, after) = (float(now.text) for now in part(site, ".plot").find_elements("css selector", ".now b"))
    moments = np.unique(np.linspace(0, 500, 85).round().astype(int))
    last = int(np.flatnonzero(moments <= 300)[-1])
    for stage, number in ((0, before), (1, after)):
        rewards = site.robot.reward[0, stage, 0, moments[last - 1] : moments[last]]
        assert number == pytest.approx(rewards.mean(), abs=0.06)
    assert float(part(site, ".plot .cursor").get_attribute("x1")) == 600
    actions = site.driver.find_elements("css selector", ".run:not([hidden]) .plot")[2:6]
    for number, row in enumerate(actions):
        (_, now) = row.find_elements("css selector", ".now b")
        assert float(now.text) == pytest.approx(site.robot.action[0, 1, 0, moments[last] - 1, number], abs=0.06)


def test_a_click_and_a_drag_in_a_plot_move_the_time(site: Site) -> None:
    from selenium.webdriver import ActionChains

    go_to(site, ROBOT)
    plot = part(site, ".plot svg")
    quarter = plot.size["width"] // 4
    ActionChains(site.driver).move_to_element(plot).click().perform()
    assert abs(int(seen(site, "[data-step]").partition(" /")[0]) - 250) <= 2
    ActionChains(site.driver).move_to_element(plot).click_and_hold().move_by_offset(quarter, 0).release().perform()
    step = int(seen(site, "[data-step]").partition(" /")[0])
    assert abs(step - 375) <= 4
    wait(lambda: site.driver.execute_script("return location.hash") == f"#reach/test/1/1@{step}")


def test_a_link_is_copied(site: Site) -> None:
    granted = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    site.driver.execute_cdp_cmd("Browser.grantPermissions", granted)
    go_to(site, ROBOT)
    part(site, "[data-link]").click()
    wait(lambda: seen(site, "[data-link]") == "Copied")
    read = "const done = arguments[0]; navigator.clipboard.readText().then(done)"
    assert site.driver.execute_async_script(read) == site.address + ROBOT
    wait(lambda: site.driver.current_url == site.address + ROBOT)


def saved(site: Site, tmp_path: Path, ending: str) -> str:
    """What a download button writes."""
    site.driver.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    part(site, f'[data-download][aria-label$="{ending}"]').click()
    path: Path = wait(lambda: next(iter(tmp_path.glob(f"*{ending}")), None))
    return path.read_text()


def test_the_evaluation_is_downloaded(site: Site, reach: Path, tmp_path: Path) -> None:
    go_to(site, ROBOT)
    kept = json.loads((reach / "evaluation.json").read_text())
    assert json.loads(saved(site, tmp_path, "reach-evaluation.json")) == kept
    rows = list(csv.DictReader(saved(site, tmp_path, "reach-evaluation.csv").splitlines()))
    assert [row["family"] for row in rows if row["adaptation_steps"] == "1" and row["judged_by"] == "mode actions"] == [
        task["family"] for task in kept["per_task"]
    ]
    second = [float(row["return"]) for row in rows if row["task"] == "1" and row["judged_by"] == "mode actions"]
    assert second == [returns[0] for returns in kept["per_task"][1]["returns"]]


def test_a_lost_context_comes_back(site: Site) -> None:
    go_to(site, ROBOT)
    first = picture(site)
    site.driver.execute_script("window.losing = Solid.only.gl.getExtension('WEBGL_lose_context'); losing.loseContext()")
    wait(lambda: not site.driver.execute_script("return Solid.only.ready"))
    press(site, ".")
    assert differ(first, picture(site)) == 0  # the last picture stays
    site.driver.execute_script("losing.restoreContext()")
    wait(lambda: site.driver.execute_script("return Solid.only.ready && Solid.only.meshes.length > 0"))
    go_to(site, "#reach/test/1/1@0")
    wait(lambda: differ(first, picture(site)) > 500)
    go_to(site, ROBOT)
    wait(lambda: differ(first, picture(site)) == 0)


def test_many_runs_share_one_context(site: Site) -> None:
    tabs = site.driver.find_elements("css selector", "[data-tab]")
    assert len(tabs) == RUNS + 1
    opened = "return [...document.querySelectorAll('[data-replay]')].filter((e) => e.dataset.shown).length"
    assert site.driver.execute_script(opened) < RUNS  # a run is unpacked when its tab opens
    for number, tab in enumerate(tabs[1:RUNS], 1):
        tab.click()
        wait(
            lambda n=number: site.driver.execute_script("return location.hash").startswith(
                f"#reach%20({n + 1})/test/1/"
            )
        )
    tabs[0].click()
    assert picture(site).std() > 20  # the first one lives
    assert site.driver.execute_script("return window.contexts") == 1
    assert site.driver.execute_script("return Solid.only.gl.isContextLost()") is False


def test_a_bandit_is_drawn_as_in_the_video(site: Site) -> None:
    """The bars are as high as the shares of the pulls."""
    stages = site.bandit.stages - 1
    go_to(site, f"#bandit/test/1/{stages}@10")
    assert not part(site, ".zoom").is_displayed()
    image, orange = picture(site), (194, 65, 12)
    width, height = image.shape[1] / 2, image.shape[0]
    size = min(width, height - 24)
    bars = np.abs(image - orange).max(-1) < 40
    for arm in range(5):
        x = 1.5 * width + (0.05 + (arm + 0.5) * 0.18 - 0.5) * size
        share = (site.bandit.action[1, stages, 0] == arm).mean()
        column = bars[:, round(x)].sum() / (0.74 * size)
        assert column == pytest.approx(share, abs=0.03)
    names = [row.text.split("\n")[0] for row in site.driver.find_elements("css selector", ".run:not([hidden]) .plot")]
    assert names == ["reward", "action", "step"]
    go_to(site, f"#bandit/test/1/{stages}@1")
    assert seen(site, "[data-return-after]") == f"return {site.bandit.reward[1, stages, 0, 0]:.2f}"


@pytest.mark.parametrize(
    ("call", "expected"),
    [("fixed(-0.001)", "0.00"), ("fixed(-1.005, 1)", "-1.0"), ("short(-0)", "0"), ("short(12345.6)", "12346")],
)
def test_numbers_have_no_negative_zero(site: Site, call: str, expected: str) -> None:
    assert site.driver.execute_script(f"return {call}") == expected


def test_nothing_is_complained_about(site: Site) -> None:
    # The last test on the open page: everything above has happened by now.
    lost = [line for line in console_errors(site.driver) if "CONTEXT_LOST" not in line]  # which a test did
    assert lost == []
    assert {url.partition("#")[0] for url in requests(site.driver)} == {site.address}
