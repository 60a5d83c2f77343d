"""Packed poses come back; a replay holds what was recorded."""

from __future__ import annotations

import base64
import itertools
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from meta_rl.evaluation.recording import first_of_each, record
from meta_rl.visualise.page.charts import Series, axis_ends, axis_ticks, chart
from meta_rl.visualise.page.replay import (
    ACTIONS,
    FINE,
    FULL,
    MOMENTS,
    PRACTISED,
    Replays,
    pack_actions,
    pack_places,
    pack_poses,
    runs,
    unpack_paths,
    unpack_poses,
)
from tests.meta_rl.evaluation.test_recording import untrained


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), st.integers(0, 2**31), st.floats(0.01, 300))
def test_poses_survive(times: int, bodies: int, seed: int, reach: float) -> None:
    rng = np.random.default_rng(seed)
    turns = rng.standard_normal((times, bodies, 4))
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    poses = np.concatenate([rng.uniform(-reach, reach, (times, bodies, 3)), turns], -1).astype(np.float32)
    found = unpack_poses(pack_poses(poses), bodies)
    assert found.shape == poses.shape
    assert np.abs(found[..., :3] - poses[..., :3]).max() <= reach / 32767
    # The same turns, each or its negative; neighbours in time never point apart.
    assert np.allclose(np.abs((found[..., 3:] * poses[..., 3:]).sum(-1)), 1, atol=1e-3)
    assert ((found[1:, :, 3:] * found[:-1, :, 3:]).sum(-1) > -1e-3).all()


def test_a_replay_of_metaworld_holds_the_poses() -> None:
    agent = untrained("maml-trpo", "metaworld/ml1-reach-v3", 2)
    played, distribution = record(agent, chosen=[1]), envs.make("metaworld/ml1-reach-v3", "test")
    replays = Replays()
    (task,) = replays.tasks(played, distribution.scene)
    bodies = replays.data()["families"]["reach-v3"]["bodies"]
    for stage, episode in enumerate(task["stages"]):
        assert len(episode["moments"]) == MOMENTS + 1
        assert episode["moments"][-1] == 500
        assert episode["actions"]["of"] == 4
        met = [played.success[0, stage, 0, a:b].any() for a, b in itertools.pairwise(episode["moments"])]
        assert [any(a <= k <= b for a, b in episode["met"]) for k in range(1, MOMENTS + 1)] == met
        assert episode["returns"][-1] == pytest.approx(played.returns[0, stage, 0], rel=1e-5)
        scene = distribution.scene(played.tasks[0])
        expected = scene.poses(played.state[0, stage, 0][episode["moments"]])[:, bodies]
        assert np.allclose(unpack_poses(episode, len(bodies))[..., :3], expected[..., :3], atol=1e-4)
    assert task["goal"].startswith("goal (")
    assert {str(body) for _, body, _, fixed in replays.data()["families"]["reach-v3"]["pieces"] if fixed} == set(
        task["fixed"]
    )


def test_meshes_are_kept_once() -> None:
    replays, count = Replays(), []
    for family in ("reach-v3", "push-v3"):
        distribution = envs.make(f"metaworld/ml1-{family}", "test")
        replays._family(family, distribution.scene(distribution.tasks()[0]))
        count.append(len(replays.data()["meshes"]))
    assert count[0] == count[1] > 10  # the same arm, table and puck


def test_a_replay_in_the_plane_is_a_path() -> None:
    played = record(untrained("maml-trpo", "navigation", 1))
    (task,) = Replays().tasks(played, envs.make("navigation").scene)
    episode = task["stages"][2]
    assert np.allclose(episode["path"], played.state[0, 2, 0][episode["moments"]], atol=1e-4)


def test_short_episodes_keep_every_moment() -> None:
    played = record(untrained("rl2", "bandit/k5-n10", 1))
    (task,) = Replays().tasks(played, envs.make("bandit/k5-n10").scene)
    assert task["stages"][0]["moments"] == list(range(11))
    assert np.allclose(np.diff(task["stages"][0]["returns"]), played.reward[0, 0, 0])
    assert "path" not in task["stages"][0]
    assert "poses" not in task["stages"][0]


@pytest.mark.parametrize(
    ("recipe", "env"), [("maml-trpo", "metaworld/ml1-reach-v3"), ("reptile", "navigation"), ("rl2", "bandit/k5-n10")]
)
def test_practice_goes_into_a_replay(recipe: str, env: str) -> None:
    changes = {} if recipe == "rl2" else {"adaptation_episodes": 12}
    played, distribution = record(untrained(recipe, env, 2, **changes), chosen=[1], practice=True), envs.make(env)
    practice, names = played.practice, played.stage_names
    assert practice is not None
    (task,) = Replays().tasks(played, distribution.scene)
    assert len(task["practice"]) == played.stages - 1
    for step, packed in enumerate(task["practice"]):
        kept = [number - 1 for number in packed["episodes"]]
        assert (kept[0], kept[-1]) == (0, practice.episodes - 1)
        assert len(kept) <= PRACTISED
        assert packed["captions"][-1] == names.practising(practice.episodes)
        assert packed["learned"] == names.learned(step + 1)
        last = [row[-1] for row in packed["returns"]]
        assert last == pytest.approx(practice.returns[0, step, kept].tolist(), rel=1e-4)
        assert packed["success"] == practice.solved[0, step, kept].tolist()
        if "paths" not in packed:
            assert env.startswith("bandit")
            continue
        found, scene = unpack_paths(packed), distribution.scene(played.tasks[0])
        for row, episode in zip(found, kept, strict=True):
            path = practice.path(scene, 0, step, episode)
            assert np.allclose(row[[0, -1]], path[[0, -1]], atol=1e-4)


def test_families_share_the_places() -> None:
    families = ["a", "a", "b", "a", "b", "c"]
    assert first_of_each(families, 6) == [0, 1, 2, 4, 5]
    assert first_of_each(families, 1) == [0, 2, 5]
    assert first_of_each(families, 60) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (-0.04, 1.04, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-51.0, -9.0, [-50, -40, -30, -20, -10]),
        (0, 500_000, [0, 100_000, 200_000, 300_000, 400_000, 500_000]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert axis_ticks(low, high) == expected


def test_an_axis_is_never_empty() -> None:
    assert axis_ends(np.array([3.0, 3.0])) == (1.5, 4.5)
    assert axis_ends(np.array([0.0])) == (-0.5, 0.5)


def test_a_chart_puts_its_points_where_they_belong() -> None:
    svg = str(chart([Series([0, 1], [0, 10], "after", "a < b")], "x", "y", whole_x=True))
    assert svg.count("<polyline") == 1
    assert "a &lt; b" in svg
    points = svg.partition('points="')[2].partition('"')[0]
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in points.split())
    assert x0 < x1
    assert y0 > y1  # up is less in SVG


@pytest.mark.parametrize(
    ("flags", "expected"),
    [([], []), ([False, False], []), ([True], [[1, 1]]), ([False, True, True, False, True], [[2, 3], [5, 5]])],
)
def test_runs_of_moments(flags: list[bool], expected: list[list[int]]) -> None:
    assert runs(flags) == expected


def numbers_of(text: str, kind: str, rows: int) -> np.ndarray:
    """What is packed, ``[number, time]``."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind).reshape(rows, -1)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), st.integers(1, 11), st.floats(1e-3, 1e4))
def test_actions_survive(times: int, size: int, reach: float) -> None:
    actions = np.random.default_rng(times).uniform(-reach, reach, (times, size)).astype(np.float32)
    packed = pack_actions(actions)
    kept = min(size, ACTIONS)
    assert (packed["of"], packed["whole"], len(packed["low"])) == (size, False, kept)
    low, high = (np.array(packed[end])[:, None] for end in ("low", "high"))
    found = low + numbers_of(packed["values"], "u1", kept) / 255 * (high - low)
    assert np.abs(found.T - actions[:, :kept]).max() <= 2 * reach / 255


def test_choices_are_kept_exactly() -> None:
    actions = np.array([3, 0, 49, 7])
    packed = pack_actions(actions)
    assert packed["whole"]
    assert np.array_equal(numbers_of(packed["values"], "u1", 1)[0] + packed["low"][0], actions)


def test_actions_of_no_step_and_of_no_number_are_none() -> None:
    assert numbers_of(pack_actions(np.zeros((0, 3)))["values"], "u1", 3).shape == (3, 0)
    assert pack_actions(np.zeros((4, 0)))["low"] == []


def test_places_survive_and_what_is_unseen_stays_so() -> None:
    rng = np.random.default_rng(0)
    places = [rng.uniform(-0.2, 1.2, (9, 2, 2)), np.full((9, 1, 2), np.nan), rng.uniform(-50, 50, (9, 1, 2))]
    steps = numbers_of(pack_places(places), "<u2", 8)
    found = np.cumsum(steps, -1, dtype=np.uint16).view(np.int16)
    assert np.abs(found[:4].T.reshape(9, 2, 2) / FINE - places[0]).max() <= 0.5 / FINE + 1e-12
    assert (found[4:6] == -FULL - 1).all()
    assert np.abs(found[6:]).max() <= FULL


@pytest.mark.parametrize("name", ["bandit/k5-n10", "tabular"])
def test_a_plane_scene_brings_its_shapes(name: str) -> None:
    played, distribution = record(untrained("rl2", name, 1)), envs.make(name)
    (task,) = Replays().tasks(played, distribution.scene)
    shapes = distribution.scene(played.tasks[0]).shapes(played.track(0, 0))
    assert [shape["kind"] for shape in task["shapes"]] == [shape.kind for shape in shapes]
    moving = [shape.points for shape in shapes if len(shape.points) > 1]
    assert sum(shape.get("points", 0) for shape in task["shapes"]) == sum(points.shape[1] for points in moving)
    for number, episode in enumerate(task["stages"]):
        rows = 2 * sum(points.shape[1] for points in moving)
        assert numbers_of(episode["places"], "<u2", rows).shape[1] == len(episode["moments"])
        chosen = numbers_of(episode["actions"]["values"], "u1", 1)[0] + episode["actions"]["low"][0]
        assert np.array_equal(chosen, played.action[0, number, 0])
    assert "met" not in task["stages"][0]
