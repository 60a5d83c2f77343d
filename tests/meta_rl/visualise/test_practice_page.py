"""The practice in the replay on the page: its words, its paths and bars, and when it plays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import envs
from tests.browser import console_errors, wait
from tests.meta_rl.visualise.test_replay_page import ROBOT, Site, differ, go_to, opened, part, picture, press, seen


@pytest.fixture(scope="module")
def site(reach: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A robot and a bandit."""
    with opened(reach, tmp_path_factory.mktemp("practice"), 1) as site:
        yield site


PLACES = """
const [packed, done] = arguments;
Practice.of(packed).then((practice) =>
  done(packed.episodes.map((_, row) => [0, 0.5, 1].map((share) => practice.here({ row, share })))));
"""


def test_the_practice_is_where_it_was(site: Site) -> None:
    practice = site.robot.practice
    assert practice is not None
    packed = site.driver.execute_script("return JSON.parse(document.getElementById('data').textContent).runs[0].parts")
    packed = packed["test"][0]["practice"][0]
    places = site.driver.execute_async_script(PLACES, packed)
    scene = envs.make("metaworld/reach-v3,drawer-open-v3", "test").scene(site.robot.tasks[0])
    for row, number in enumerate(packed["episodes"]):
        path = practice.path(scene, 0, 0, number - 1)
        assert np.allclose([places[row][0], places[row][2]], path[[0, -1]], atol=1e-4)
        assert np.ptp(np.concatenate([path, places[row][1:2]]), 0) == pytest.approx(np.ptp(path, 0), abs=0.02)


def practising(site: Site) -> str:
    """The episode of practice that is seen, or that it is said what they led to, or nothing."""
    state: str = part(site, "[data-replay]").get_attribute("data-practising")
    return state


def speed(site: Site, number: str) -> None:
    site.driver.execute_script("arguments[0].value = arguments[1]", part(site, "[data-speed]"), number)


def violet(image: np.ndarray) -> int:
    """Pixels of what was practised."""
    return int((np.abs(image - (124, 58, 237)).max(-1) < 40).sum())


def test_the_practice_is_played_and_leaves_its_paths(site: Site) -> None:
    go_to(site, ROBOT)
    assert seen(site, "[data-words]") == "one gradient step"
    assert part(site, "[data-bars] svg").get_attribute("aria-label").startswith("return of an episode of practice: ")
    first = picture(site)
    part(site, "[data-paths]").click()
    assert differ(first, picture(site)) > 20
    part(site, "[data-paths]").click()
    assert differ(first, picture(site)) == 0
    speed(site, "0.25")
    press(site, "p ")  # and stop
    assert practising(site) == "1"
    assert seen(site, "[data-words]") == "practising, episode 1 of 1"
    assert (seen(site, "[data-step]"), seen(site, "[data-practise]")) == ("0 / 500", "Skip")
    press(site, "p")
    assert (practising(site), seen(site, "[data-practise]")) == ("", "Practice")
    speed(site, "4")
    part(site, "[data-practise]").click()
    wait(lambda: seen(site, "[data-step]") != "0 / 500")  # the episode follows
    assert (practising(site), seen(site, "[data-words]")) == ("", "one gradient step")
    speed(site, "1")


def test_nothing_moves_for_who_wants_that(site: Site) -> None:
    go_to(site, ROBOT)
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    site.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": still})
    before = violet(picture(site))
    press(site, "p")
    assert (practising(site), seen(site, "[data-words]")) == ("learned", "one gradient step")
    assert part(site, "[data-play]").get_attribute("aria-label") == "Play"
    assert violet(picture(site)) != before  # all of the paths at once
    site.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    go_to(site, ROBOT)
    assert practising(site) == ""


def test_an_episode_opens_with_the_practice_before_it(site: Site) -> None:
    """Once; and where nothing moves about its returns are bars."""
    practice, names = site.bandit.practice, site.bandit.stage_names
    assert practice is not None
    go_to(site, "#bandit/test/1/0@3")
    assert violet(picture(site)) == 0
    assert not part(site, "[data-practice]").is_displayed()  # nothing was practised before it
    speed(site, "0.25")
    site.driver.execute_script("location.hash = '#bandit/test/1/1'")
    wait(lambda: practising(site) in ("1", "2", "3"))
    assert seen(site, "[data-words]") in map(names.practising, (1, 2, 3))
    assert not part(site, "[data-paths]").is_displayed()
    wait(lambda: practising(site) == "learned")
    press(site, " ")
    assert seen(site, "[data-words]") == names.learned(1) == "the memory has seen 3 episodes"
    said = part(site, "[data-bars] svg").get_attribute("aria-label")
    low, high = practice.returns[1, 0].min(), practice.returns[1, 0].max()
    assert (
        said == f"return of 3 episodes of practice: {low:g} to {high:g}" if low < high else said.endswith(f" {low:g}")
    )
    assert violet(picture(site)) > 200
    site.driver.execute_script("location.hash = '#bandit/test/1/0'")
    wait(lambda: not part(site, "[data-practice]").is_displayed())
    site.driver.execute_script("location.hash = '#bandit/test/1/1'")
    wait(lambda: part(site, "[data-practice]").is_displayed())
    assert practising(site) == ""
    speed(site, "1")


def test_nothing_is_complained_about(site: Site) -> None:
    # The last test on the open page: everything above has happened by now.
    assert console_errors(site.driver) == []
