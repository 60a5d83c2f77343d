"""The live view: what stands behind it, and the page itself in a real browser."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

import meta_rl
from meta_rl.cli import main, showing
from meta_rl.config import TrainConfig
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.playing import Live
from meta_rl.training.train import train
from meta_rl.visualise.options import ViewConfig
from meta_rl.visualise.view import Page
from tests.browser import browser, requests, wait


@pytest.fixture
def run(tiny: Callable[..., TrainConfig]) -> Path:
    return train(tiny(iterations=2), say=lambda _: None)


def test_every_press_is_one_adaptation_step(run: Path) -> None:
    import envs

    agent = meta_rl.load(run)
    live = Live(agent, "test")
    assert live.families == {"navigation": [0, 1, 2, 3]}
    live.choose("navigation", 2)
    expected = evaluate(agent.learner, agent.weights, envs.make("navigation", "test"), agent.config.evaluate)
    assert live.task == expected.tasks[2]
    assert (live.steps, live.score(0)[0]) == (0, pytest.approx(expected.returns[2, 0, 0]))
    live.adapt()
    assert live.steps == 1
    assert [live.score(stage)[0] for stage in (0, 1)] == pytest.approx(expected.returns[2, :, 0], rel=1e-4)
    live.adapt()
    assert live.steps == 2
    assert live.score(1)[0] == pytest.approx(expected.returns[2, 1, 0], rel=1e-4)
    live.choose("navigation", 0)
    assert live.steps == 0


def test_the_iteration_asked_for_is_the_one_shown(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MagicMock()
    server.gui.add_dropdown.return_value.value = "navigation"
    monkeypatch.setattr(showing, "viser_server", lambda port: server)
    monkeypatch.setattr(Page, "play_forever", MagicMock(side_effect=KeyboardInterrupt))
    showing.view_run(run, ViewConfig(iteration=1))
    assert server.gui.add_markdown.call_args_list[0].args[0].endswith("test tasks, iteration 1")
    server.stop.assert_called_once_with()
    monkeypatch.undo()
    pytest.importorskip("viser")
    (run / "checkpoints" / "00000001" / "state.json").unlink()
    assert main(["view", str(run), "--port", "0", "--iteration", "1"]) == 1
    assert "checkpoints/00000001: unreadable" in capsys.readouterr().err


@contextmanager
def serving(run_dir: Path) -> Iterator[str]:
    """The address of the view of a run, without OpenGL on the server."""
    pytest.importorskip("viser")
    environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"} | {"MUJOCO_GL": "glfw"}
    command = [sys.executable, "-m", "meta_rl.cli", "view", str(run_dir), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            assert line.startswith("view: http://127.0.0.1:"), line
            yield line.split()[1]
            server.terminate()  # not Ctrl-C: whoever runs in the background ignores it, and so do its children
            assert server.stdout.readline() == "view: ended\n"
            assert server.wait(60) == 0
        finally:
            server.kill()


def table(page: Any) -> list[list[str]]:
    """The rows below the button: stage, return, success."""
    rows: list[list[str]] = page.execute_script(
        "return [...document.querySelectorAll('table tbody tr')]"
        ".map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent.trim()))"
    )
    return rows


def window(page: Any) -> np.ndarray:
    """The pixels beside the controls."""
    left = page.execute_script("return document.querySelector('canvas').getBoundingClientRect().width")
    image = Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")
    return np.asarray(image).astype(int)[:, : int(left) // 2 * 2]


def press_adapt(page: Any) -> None:
    next(b for b in page.find_elements("css selector", "button") if b.text == "Adapt").click()


def choose_goal(page: Any, number: int) -> None:
    """Type into the box beside the slider."""
    from selenium.webdriver import Keys

    box = page.find_elements("css selector", "input.mantine-NumberInput-input, input[inputmode]")[-1]
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(str(number), Keys.ENTER)


def choose_family(page: Any, name: str) -> None:
    boxes = page.find_elements("css selector", "input[aria-haspopup=listbox]")
    next(box for box in boxes if box.is_displayed()).click()

    def option() -> Any:
        found = page.find_elements("css selector", "[role=option]")
        return next((o for o in found if o.is_displayed() and o.text == name), None)

    wait(option).click()


def test_choose_a_goal_and_adapt_to_it(run: Path, tmp_path: Path) -> None:
    with serving(run) as address, browser(tmp_path / "profile") as page:
        page.get(address)
        (first,) = wait(lambda: table(page))
        assert first[0] == "before adaptation"
        choose_goal(page, 2)
        wait(lambda: table(page)[0] != first)
        (second,) = table(page)
        press_adapt(page)
        both = wait(lambda: table(page) if len(table(page)) == 2 else None)
        assert both[0] == second
        assert both[1][0] == "after 1 adaptation step"
        assert both[1][1] != both[0][1]  # the return that is shown has changed
        press_adapt(page)
        wait(lambda: table(page)[-1][0] == "after 2 adaptation steps")
        # On both sides there is a point, and it is blue.
        blue = (0x25, 0x63, 0xEB)
        wait(lambda: all((np.abs(half - blue).max(-1) < 40).sum() > 20 for half in np.split(window(page), 2, 1)))
        assert all(address in request for request in requests(page))


def test_a_robot_is_drawn_without_opengl_on_the_server(reach: Path, tmp_path: Path) -> None:
    # A small window: here the browser draws in software too.
    with serving(reach) as address, browser(tmp_path / "profile", 900, 380) as page:
        page.get(address)
        wait(lambda: table(page))

        def red() -> int:
            picture = window(page)
            return int(((picture[..., 0] > picture[..., 1] + 40) & (picture[..., 0] > picture[..., 2] + 40)).sum())

        wait(lambda: red() > 400)  # the arm
        press_adapt(page)
        both = wait(lambda: table(page) if len(table(page)) == 2 else None)
        assert both[0][1] != both[1][1]
        choose_family(page, "drawer-open-v3")
        (other,) = wait(lambda: table(page) if len(table(page)) == 1 else None)  # not adapted to that one
        assert other[0] == "before adaptation"
        assert other[1] != both[0][1]
        wait(lambda: red() > 400)
        press_adapt(page)
        wait(lambda: table(page) if len(table(page)) == 2 else None)
        assert all(address in request for request in requests(page))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "70000"], "--port: must be from 0 to 65535"),
        (["--split", "tset"], "tset"),
        (["--prt", "1"], "unknown option '--prt'; closest: --port"),
    ],
)
def test_bad_options_are_refused(
    run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", str(run), *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_without_viser_one_line_says_so(run: Path) -> None:
    code = (
        f"import sys; sys.modules['viser'] = None; from meta_rl.cli import main; sys.exit(main(['view', {str(run)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "meta-rl view: view: viser is not installed; pip install 'meta-rl[viewer]'\n"
