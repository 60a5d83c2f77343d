"""The live view: what stands behind it, and the page itself in a real browser."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

from meta_rl.cli import main, showing
from meta_rl.config import TrainConfig
from meta_rl.training.train import train
from meta_rl.visualise.options import ViewConfig
from meta_rl.visualise.view import server as server_module
from meta_rl.visualise.view.clock import AT_MOST, LEARNED_SECONDS, PAUSE, PRACTICE_SECONDS, SECONDS, Clock
from meta_rl.visualise.view.wishes import Wishes
from tests.browser import browser, requests, wait


@pytest.fixture
def run(tiny: Callable[..., TrainConfig]) -> Path:
    return train(tiny(iterations=2), say=lambda _: None)


def test_the_iteration_asked_for_is_the_one_shown(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "viser_server", lambda port: MagicMock())
    shown = MagicMock()
    monkeypatch.setattr(showing, "serve", shown)
    monkeypatch.setattr(showing, "Visitor", MagicMock())
    monkeypatch.setattr(showing, "Live", MagicMock())
    showing.view_run(run, ViewConfig(iteration=1))
    shown.call_args.args[1]("a browser")
    client, opened, title = showing.Visitor.call_args.args  # type: ignore[attr-defined]
    opened("wanted", "told")
    agent, *others = showing.Live.call_args.args  # type: ignore[attr-defined]
    assert (client, agent.iteration, others) == ("a browser", 1, ["test", run, "wanted", "told"])
    assert title.endswith("test tasks, iteration 1")
    monkeypatch.undo()
    pytest.importorskip("viser")
    (run / "checkpoints" / "00000001" / "state.json").unlink()
    assert main(["view", str(run), "--port", "0", "--iteration", "1"]) == 1
    assert "checkpoints/00000001: unreadable" in capsys.readouterr().err


def test_a_taken_port_is_refused_if_it_was_asked_for(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("viser")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["view", str(run), "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.err == f"meta-rl view: --port: {port} is taken; name another one, or 0 for any that is free\n"
    assert said.out == ""


def test_the_default_port_may_move_on_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(server_module.time, "sleep", MagicMock(side_effect=KeyboardInterrupt))
    server = MagicMock()
    server.get_port.return_value = 8081
    server_module.serve(server, MagicMock(), said.append, None)
    assert said == ["view: port 8080 is taken; http://127.0.0.1:8081 (Ctrl-C ends it)", "view: ended"]
    said.clear()
    server_module.serve(server, MagicMock(), said.append, 8081)
    assert said[0] == "view: http://127.0.0.1:8081 (Ctrl-C ends it)"


def test_only_the_newest_choice_is_played() -> None:
    played: list[int] = []
    begun, go_on = threading.Event(), threading.Event()
    wishes = Wishes(lambda words: played.append(-1), debounce=0.05)

    def slow() -> None:
        begun.set()
        go_on.wait(60)
        played.append(0 if wishes.fresh() else -2)

    wishes.choose(slow)
    assert begun.wait(60)
    for number in range(1, 12):  # what a slider passes
        wishes.choose(lambda number=number: played.append(number))  # type: ignore[misc]
    wishes.step(lambda: played.append(100))
    wishes.step(lambda: played.append(101))
    go_on.set()
    wait(lambda: 101 in played)
    assert played == [-2, 11, 101]  # the first one knew that it was stale
    wishes.end()


def test_what_goes_wrong_is_said_and_the_next_wish_is_fulfilled() -> None:
    said: list[str] = []
    wishes = Wishes(said.append, debounce=0.0)
    wishes.choose(lambda: said.append(str(1 // 0)))
    wait(lambda: said)
    assert said == ["ZeroDivisionError: integer division or modulo by zero"]
    wishes.step(lambda: said.append("next"))
    wait(lambda: len(said) == 2)
    wishes.end()


def test_the_practice_comes_once_and_the_episodes_again_and_again() -> None:
    clock = Clock()
    clock.restart(practice=3)
    assert clock.tick(100.0) == (0, 0.0, False)
    assert clock.tick(100.0 + AT_MOST * 1.5)[0] == 1
    assert clock.tick(100.0 + AT_MOST * 3.1) == (2, 1.0, True)
    both = 100.0 + AT_MOST * 3 + LEARNED_SECONDS
    assert clock.tick(both + SECONDS / 2) == (None, pytest.approx(0.5), False)
    assert clock.tick(both + SECONDS + PAUSE / 2) == (None, 1.0, False)
    assert clock.tick(both + SECONDS + PAUSE * 1.1) == (None, 0.0, False)
    clock.speed = 0.5
    assert clock.tick(both + SECONDS + PAUSE * 1.1 + SECONDS) == (None, pytest.approx(0.5), False)
    clock.seek(0.25)
    assert clock.tick(1e6) == (None, pytest.approx(0.25), False)
    clock.restart(practice=50)  # many are shown faster
    assert clock.lead == pytest.approx(PRACTICE_SECONDS + LEARNED_SECONDS)


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
    def ready() -> Any:
        buttons = page.find_elements("css selector", "button")
        return next((b for b in buttons if b.text == "Adapt" and b.is_enabled()), None)

    wait(ready).click()


def choose_goal(page: Any, number: int) -> None:
    """Type into the box beside the slider."""
    from selenium.webdriver import Keys

    box = page.find_elements("css selector", "input.mantine-NumberInput-input, input[inputmode]")[0]
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(str(number), Keys.ENTER)


def choose_family(page: Any, name: str) -> None:
    boxes = page.find_elements("css selector", "input[aria-haspopup=listbox]")
    next(box for box in boxes if box.is_displayed()).click()

    def option() -> Any:
        found = page.find_elements("css selector", "[role=option]")
        return next((o for o in found if o.is_displayed() and o.text == name), None)

    wait(option).click()


LISTEN = """
window.heard = [];
new MutationObserver(() => heard.push(
  ...arguments[0].filter((words) => !heard.includes(words) && document.body.textContent.includes(words))
)).observe(document.body, { subtree: true, childList: true, characterData: true });
"""
"""Has the page remember which words it has shown so far: some stand there for seconds only, and a busy machine looks at
it less often than that."""


def test_choose_a_goal_and_adapt_to_it(run: Path, tmp_path: Path) -> None:
    with serving(run) as address, browser(tmp_path / "profile") as page:
        page.get(address)
        (first,) = wait(lambda: table(page))
        assert first[0] == "before adaptation"
        choose_goal(page, 2)
        wait(lambda: table(page)[0] != first)
        (second,) = table(page)
        page.execute_script(LISTEN, ["practising, episode", "one gradient step"])
        press_adapt(page)
        both = wait(lambda: table(page) if len(table(page)) == 2 else None)
        assert both[0] == second
        assert both[1][0] == "after 1 adaptation step"
        assert both[1][1] != both[0][1]  # the return that is shown has changed
        wait(lambda: page.execute_script("return heard") == ["practising, episode", "one gradient step"])
        press_adapt(page)
        wait(lambda: [row[0] for row in table(page)][1:] == ["after 1 adaptation step", "after 2 adaptation steps"])
        assert table(page)[:2] == both  # what was played is kept
        # Before is blue, the goal green, the practice violet; after it there is orange, too.
        blue, orange = (37, 99, 235), (232, 89, 12)
        wait(lambda: all((np.abs(window(page) - colour).max(-1) < 60).sum() > 20 for colour in (blue, orange)))
        # Somebody else begins with a page of their own.
        page.switch_to.new_window("tab")
        page.get(address)
        assert len(wait(lambda: table(page))) == 1
        page.switch_to.window(page.window_handles[0])
        assert len(table(page)) == 3
        assert all(address in request for request in requests(page))


ARM = 400
"""Pixels; the base, which does not move, has some 100 in a window so small."""


def test_a_robot_is_drawn_without_opengl_on_the_server(reach: Path, tmp_path: Path) -> None:
    # A small window: here the browser draws in software too.
    with serving(reach) as address, browser(tmp_path / "profile", 900, 380) as page:
        page.get(address)
        wait(lambda: table(page))

        def red() -> int:
            """Pixels of the arm, which is far redder than the table."""
            picture = window(page)
            red, others = picture[..., 0], picture[..., 1:].max(-1)
            return int(((red > 60) & (red > 2.5 * others)).sum())

        # The browser says that it draws in software, in front of the arm.
        wait(lambda: page.find_elements("css selector", ".mantine-Notification-closeButton"))[0].click()
        wait(lambda: red() > ARM)
        press_adapt(page)
        both = wait(lambda: table(page) if len(table(page)) == 2 else None)
        assert both[0][1] != both[1][1]
        choose_family(page, "drawer-open-v3")
        (other,) = wait(lambda: table(page) if len(table(page)) == 1 else None)  # not adapted to that one
        assert other[0] == "before adaptation"
        assert other[1] != both[0][1]
        wait(lambda: red() > ARM)
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
