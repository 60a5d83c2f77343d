"""Packed poses come back; a replay holds what was recorded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from meta_rl.evaluation.recording import first_of_each, record
from meta_rl.visualise.page.charts import Series, axis_ends, axis_ticks, chart
from meta_rl.visualise.page.replay import MOMENTS, Replays, pack_poses, unpack_poses
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
