"""The two sides are in step, and the text burnt in says what was recorded."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest

import envs
from meta_rl.evaluation.recording import Recording, record
from meta_rl.visualise.captions import GOOD, QUIET, Words, strip
from meta_rl.visualise.side_by_side import (
    AFTER,
    BEFORE,
    GAP,
    HELD,
    PER_EPISODE,
    PRACTICE,
    caption,
    frames,
    grid,
    picture_count,
)
from tests.meta_rl.evaluation.test_recording import untrained

WIDTH = 240
HEIGHT = WIDTH * 3 // 4


@pytest.fixture(scope="module")
def played() -> Recording:
    return record(untrained("maml-trpo", "navigation", 3))


def pictures(recording: Recording, tasks: list[int], every: int = 10) -> list[np.ndarray]:
    return list(frames(recording, envs.make("navigation", "test").scene, tasks, every, WIDTH))


def burnt(recording: Recording, task: int, stage: int, number: float, solved: bool) -> np.ndarray:
    """The strip that belongs below a side when its episode is over."""
    steps = recording.lengths[task, stage, 0]
    word = Words("success", GOOD, True) if solved else Words("no success", QUIET, True)
    line = [Words(f"return {number:.2f}   step {steps}"), word]
    return strip([[Words(recording.stage_name(stage))], line], WIDTH)


def test_the_numbers_are_the_recorded_ones(played: Recording) -> None:
    last = pictures(played, [1])[-1]
    top = strip([[Words("x")]], WIDTH).shape[0] + HEIGHT  # below the title and the picture
    for stage, left in ((0, 0), (played.stages - 1, WIDTH + GAP)):
        number, solved = played.returns[1, stage, 0], bool(played.solved[1, stage, 0])
        right = burnt(played, 1, stage, number, solved)
        wrong = burnt(played, 1, stage, number + 0.01, solved)
        found = last[top : top + len(right), left : left + WIDTH]
        assert np.array_equal(found, right)
        assert not np.array_equal(found, wrong)


def test_text_survives_the_video(played: Recording) -> None:
    av = pytest.importorskip("av")
    from meta_rl.visualise.video import encode

    with av.open(io.BytesIO(encode(pictures(played, [0]), fps=20))) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(decoded) == 11 + HELD
    assert all(picture.mean() > 50 for picture in decoded)
    assert (np.abs(decoded[0].astype(int) - decoded[10]).max(-1) > 60).any()  # something moves
    top = strip([[Words("x")]], WIDTH).shape[0] + HEIGHT
    number, solved = played.returns[0, 0, 0], bool(played.solved[0, 0, 0])
    found = decoded[-1][top:, :WIDTH].astype(int)

    def distance(value: float) -> float:
        expected = burnt(played, 0, 0, value, solved)
        return float(np.abs(found[: len(expected)] - expected).mean())

    others = [number + change for change in (-10.0, -1.0, 1.0, 10.0)]
    assert distance(number) < min(distance(other) for other in others)


def test_both_sides_show_the_same_moment(played: Recording) -> None:
    # The second side is a copy of the first: were one ahead, they would differ.
    copied = dataclasses.replace(
        played,
        **{name: getattr(played, name)[:, [2, 2]] for name in ("state", "action", "reward", "success", "valid")},
    )
    top = strip([[Words("x")]], WIDTH).shape[0]
    shown = pictures(copied, [0], every=7)
    assert len(shown) == 15 + 1 + HELD
    sides = [(p[top : top + HEIGHT, :WIDTH], p[top : top + HEIGHT, WIDTH + GAP :]) for p in shown]

    def drawn(picture: np.ndarray) -> np.ndarray:
        """Where there is ink, of either colour."""
        return picture.min(-1) < 200

    assert all((drawn(left) == drawn(right)).mean() > 0.999 for left, right in sides)
    assert any((sides[0][0] != left).any() for left, _ in sides)


def test_blue_is_before_and_orange_is_after(played: Recording) -> None:
    top = strip([[Words("x")]], WIDTH).shape[0]
    last = pictures(played, [0])[-1][top : top + HEIGHT]
    for picture, own, other in ((last[:, :WIDTH], BEFORE, AFTER), (last[:, WIDTH + GAP :], AFTER, BEFORE)):
        assert near(picture, own) > 20
        assert near(picture, other) == 0


def near(picture: np.ndarray, colour: str) -> int:
    """Pixels of that colour."""
    rgb = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8).astype(int)
    return int((np.abs(picture - rgb).max(-1) < 12).sum())


def test_success_is_a_frame_and_its_absence_is_final_at_the_end(played: Recording) -> None:
    success = np.zeros_like(played.success)
    success[0, -1, 0, 50] = True
    made = dataclasses.replace(played, success=success)
    top = strip([[Words("x")]], WIDTH).shape[0]
    shown = pictures(made, [0])
    for picture, framed in ((shown[4], False), (shown[-1], True)):  # after 40 env steps, at the end
        right, left = picture[top : top + HEIGHT, WIDTH + GAP :], picture[top : top + HEIGHT, :WIDTH]
        assert (near(right[:3], GOOD) == 3 * WIDTH) == framed
        assert near(left[:3], GOOD) < 3 * WIDTH
    assert not np.array_equal(caption(made, 0, 0, 40, WIDTH), caption(made, 0, 0, 100, WIDTH))
    ended = burnt(made, 0, 0, made.returns[0, 0, 0], solved=False)
    assert np.array_equal(caption(made, 0, 0, 100, WIDTH), ended)


@pytest.mark.parametrize(("recipe", "env"), [("maml-trpo", "navigation"), ("rl2", "bandit/k5-n10")])
def test_the_practice_comes_first(recipe: str, env: str) -> None:
    recording = record(untrained(recipe, env, 2), practice=True)
    practice, names, scene_of = recording.practice, recording.stage_names, envs.make(env).scene
    assert practice is not None
    shown = list(frames(recording, scene_of, [1], 10, WIDTH))
    plain = list(frames(dataclasses.replace(recording, practice=None), scene_of, [1], 10, WIDTH))
    assert len(shown) == picture_count(recording, [1], 10)
    first = len(shown) - len(plain)
    assert all(np.array_equal(a, b) for a, b in zip(shown[first:], plain, strict=True))
    # At the end of the first episode its whole return stands below the right side; then what all of them led to.
    below = strip([[Words("x")]], WIDTH).shape[0] + HEIGHT
    steps = int(practice.lengths[1, 0, 0])
    number = Words(f"return {practice.returns[1, 0, 0]:.2f}   step {steps}")
    expected = strip([[Words(names.practising(1), PRACTICE)], [number]], WIDTH)
    found = shown[PER_EPISODE - 1][below : below + len(expected), WIDTH + GAP :]
    assert np.array_equal(found, expected)
    words = strip([[Words(names.learned(recording.stages - 1), PRACTICE)]], WIDTH)
    assert np.array_equal(shown[first - 1][below : below + len(words) - 4, WIDTH + GAP :], words[:-4])


def test_a_side_that_is_over_stands_still(played: Recording) -> None:
    valid = played.valid.copy()
    valid[0, 0, 0, 30:] = False
    short = dataclasses.replace(played, valid=valid, reward=np.where(valid, played.reward, 0))
    top = strip([[Words("x")]], WIDTH).shape[0]
    shown = pictures(short, [0])
    assert np.array_equal(shown[3][top:, :WIDTH], shown[-1][top:, :WIDTH])
    assert (shown[3][top:, WIDTH:] != shown[-1][top:, WIDTH:]).any()


def test_several_tasks_make_a_grid(played: Recording) -> None:
    one, two, three = (pictures(played, list(range(n)), every=100)[-1] for n in (1, 2, 3))
    height, width = one.shape[0], one.shape[1]
    assert two.shape == (2 * height, width, 3)
    assert three.shape == (2 * height, 2 * width, 3)
    assert np.array_equal(three[:height, :width], one)
    # The third stands in the middle of its row.
    margins = three[height:, : width // 2], three[height:, -(width // 2) :]
    assert all((margin == 249).all() for margin in margins)
    assert (three[height:, width // 2 : -(width // 2)] != 249).any()


def test_a_grid_has_even_sides() -> None:
    assert grid([np.zeros((3, 5, 3), np.uint8)]).shape == (4, 6, 3)


def test_where_there_is_no_success_none_is_missed() -> None:
    recording = record(untrained("rl2", "bandit/k5-n10", 1))
    below = caption(recording, 0, 1, 10, WIDTH)
    numbers = Words(f"return {recording.returns[0, 1, 0]:.2f}   step 10")
    assert np.array_equal(below, strip([[Words(recording.stage_name(1))], [numbers]], WIDTH))


def test_stages_of_a_trial_are_called_episodes() -> None:
    recording = record(untrained("rl2", "bandit/k5-n10", 1))
    after = 1 + recording.about["protocol"]["adaptation_episodes"]
    assert [recording.stage_name(stage) for stage in (0, 1)] == [
        "episode 1 of the trial",
        f"episode {after} of the trial",
    ]


def test_words_that_do_not_fit_are_cut() -> None:
    long = strip([[Words("a" * 200)]], WIDTH)
    assert long.shape[1] == WIDTH
    assert (long[:, -6:] == long[0, 0]).all()
