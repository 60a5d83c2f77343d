"""Recorded states become pictures, with and without OpenGL."""

from __future__ import annotations

import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs import NoDisplayError, Scene, Track, gl, meshes
from envs.vector import GymDistribution

PLANE = ("navigation", "bandit/k5-n10", "bandit/k50-n10", "tabular", "classic/cartpole", "classic/pendulum",
         "classic/acrobot")  # fmt: skip
SOLID = ("metaworld/ml1-door-open-v3", "cheetah-vel@promp", "ant-goal@promp", "hopper-params@promp")


@pytest.fixture(scope="module")
def display() -> None:
    try:
        gl.backend()
    except NoDisplayError as error:
        pytest.skip(str(error))


def play(distribution: envs.TaskDistribution, steps: int = 9) -> tuple[Scene, Track]:
    """A scene, and an episode of random actions in it."""
    rng = np.random.default_rng(0)
    tasks, space = distribution.sample(rng, 1), distribution.action_space
    actions, rewards = [], []
    with distribution.make(1, 1) as env:
        env.set_tasks(tasks)
        env.reset([0])
        states = [env.state(0, 0)]
        for _ in range(steps):
            action = (
                rng.integers(space.n)
                if isinstance(space, gym.spaces.Discrete)
                else rng.uniform(space.low, space.high).astype(np.float32)
            )
            rewards.append(env.step(np.asarray(action)[None, None]).reward[0, 0])
            actions.append(action)
            states.append(env.state(0, 0))
    return distribution.scene(tasks[0]), Track(np.array(states), np.array(actions), np.array(rewards), steps)


def check_pictures(scene: Scene, track: Track) -> None:
    first, last = scene.draw(track, 0, 160, 120), scene.draw(track, track.length, 160, 120)
    for picture in (first, last):
        assert picture.shape == (120, 160, 3)
        assert picture.dtype == np.uint8
        assert picture.mean() > 20  # not black
        assert picture.std() > 2  # not blank
    assert (first != last).any()
    assert np.array_equal(first, scene.draw(track, 0, 160, 120))  # drawing depends on the moment alone
    assert 0 < len(scene.goal) < 120


@pytest.mark.parametrize("name", PLANE)
def test_plane_scenes(name: str) -> None:
    check_pictures(*play(envs.make(name, "test")))


@pytest.mark.parametrize("name", PLANE[1:])
def test_shapes_are_the_same_for_every_episode_but_for_where_they_are(name: str) -> None:
    scene, track = play(envs.make(name, "test"))
    shapes, other = scene.shapes(track), scene.shapes(track._replace(length=4))
    assert [(shape.kind, *shape[2:]) for shape in shapes] == [(shape.kind, *shape[2:]) for shape in other]
    assert {len(shape.points) for shape in shapes} == {1, 10}
    for shape, early in zip(shapes, other, strict=True):
        assert np.array_equal(shape.points[:5], early.points, equal_nan=True)


def test_bars_are_the_shares_of_the_pulls() -> None:
    scene, track = play(envs.make("bandit/k5-n10", "test"), 3)
    track = track._replace(action=np.array([2, 0, 2]), reward=np.array([1.0, 0, 0]))
    bars = [shape.points[:, 1, 1] for shape in scene.shapes(track) if shape.colour == "here"]
    assert np.allclose(
        (np.array(bars) - 0.14) / 0.74, [[0, 0, 1 / 2, 1 / 3], [0] * 4, [0, 1, 1 / 2, 2 / 3], [0] * 4, [0] * 4]
    )
    paid, unpaid = (shape.points[:, 0] for shape in scene.shapes(track) if shape.edge == "ink")
    assert np.array_equal(np.isnan(paid[:, 0]), [True, False, True, True])
    assert np.array_equal(np.isnan(unpaid[:, 0]), [True, True, False, False])


@pytest.mark.usefixtures("display")
@pytest.mark.parametrize("name", SOLID)
def test_solid_scenes(name: str) -> None:
    check_pictures(*play(envs.make(name, "test")))


@pytest.mark.usefixtures("display")
def test_nothing_hides_the_goal() -> None:
    scene, track = play(envs.make("metaworld/ml1-reach-v3", "test"))
    inside = scene.poses(track.state[:1])[0, scene.marks()["trail"] - 1, :3]  # of the arm
    scene._point = tuple(float(x) for x in inside)  # type: ignore[attr-defined]
    picture = scene.draw(track, 0, 320, 240).astype(int)
    green = (picture[..., 1] > picture[..., 0] + 60) & (picture[..., 1] > picture[..., 2] + 40)
    assert green.sum() > 20


@pytest.mark.usefixtures("display")
def test_the_colour_of_a_track_is_that_of_its_path() -> None:
    scene, track = play(envs.make("cheetah-vel@promp", "test"), 40)
    plain, blue = (scene.draw(t, 40, 320, 240).astype(int) for t in (track, track._replace(colour="#0000ff")))
    changed = np.abs(plain - blue).max(-1) > 20
    assert 0 < changed.sum() < 2000
    assert (blue - plain)[changed][:, 2].mean() > 20
    path = scene.path(track.state)
    assert path.shape == (41, 3)
    other = scene.draw(track._replace(beside=(path + np.float32(0.3),)), 40, 320, 240)
    assert (np.abs(other.astype(int) - plain).max(-1) > 10).any()


def test_an_environment_without_a_picture_shows_its_rewards() -> None:
    distribution = GymDistribution("cart", lambda: gym.make("CartPole-v1"), lambda rng: rng.random(5), horizon=50)
    scene, track = play(distribution)
    track = track._replace(reward=np.arange(9.0))
    check_pictures(scene, track)
    assert scene.goal.startswith("task (")


@pytest.mark.usefixtures("display")
def test_the_goal_is_in_the_picture() -> None:
    distribution = envs.make("metaworld/ml1-reach-v3", "test")
    near, far = (distribution.scene(task) for task in distribution.tasks()[:2])
    _, track = play(distribution, 1)
    pictures = [scene.draw(track, 0, 160, 120).astype(int) for scene in (near, far, near)]
    assert near.marks()["goal"] != far.marks()["goal"]
    greener = [(p[..., 1] > p[..., 0] + 30) & (p[..., 1] > p[..., 2] + 30) for p in pictures]
    assert greener[0].sum() > 3
    assert (greener[0] != greener[1]).any()
    assert np.array_equal(pictures[0], pictures[2])  # the two share a model


def test_the_reference_environment_has_the_same_states() -> None:
    states = []
    for engine in ("native", "reference"):
        distribution = envs.make("metaworld/ml1-door-open-v3", "test", engine=engine)
        with distribution.make(1, 1) as env:
            env.set_tasks(distribution.tasks()[:1])
            env.reset([0])
            for _ in range(3):
                env.step(np.full((1, 1, 4), 0.25, np.float32))
            states.append(env.state(0, 0))
    assert np.array_equal(*states)


def test_poses_are_where_the_environment_saw_the_hand() -> None:
    distribution = envs.make("metaworld/ml1-door-open-v3", "test")
    task = distribution.tasks()[0]
    scene = distribution.scene(task)
    with distribution.make(1, 1) as env:
        env.set_tasks([task])
        env.reset([0])
        action = np.array([[[0.5, -0.5, 1.0, 0.0]]], np.float32)
        for _ in range(20):
            observation = env.step(action).observation
        poses = scene.poses(env.state(0, 0)[None])
    hand = poses[0, scene.marks()["trail"]]
    assert np.allclose(hand[:3], observation[0, 0, :3], atol=2e-3)  # it is observed a fraction of a step earlier
    assert np.allclose(np.linalg.norm(poses[0, :, 3:], axis=-1), 1, atol=1e-5)


def test_solids_are_few_triangles_around_their_bodies() -> None:
    scene, _ = play(envs.make("metaworld/ml1-door-open-v3", "test"), 1)
    solids = scene.solids()
    assert 1000 < sum(len(solid.faces) for solid in solids) < 10_000
    assert {solid.fixed for solid in solids} == {True, False}
    for solid in solids:
        assert solid.faces.max() < len(solid.vertices)
        assert np.abs(solid.vertices).max() < 3


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Of a closed surface whose faces turn counter-clockwise seen from outside (divergence theorem)."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("box", (1, 2, 3), 48.0),
        ("sphere", (1, 0, 0), 4 / 3 * np.pi),
        ("ellipsoid", (1, 2, 3), 8 * np.pi),
        ("cylinder", (1, 2, 0), 4 * np.pi),
        ("capsule", (1, 2, 0), 4 * np.pi + 4 / 3 * np.pi),
    ],
)
def test_primitives_have_their_volume(kind: str, size: tuple[float, ...], expected: float) -> None:
    import mujoco

    half = " ".join(map(str, size))
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><worldbody><geom type="{kind}" size="{half}"/></worldbody></mujoco>'
    )
    # Twelve corners around instead of a circle lose up to a tenth.
    assert 0.85 * expected < volume(*meshes.of_geom(model, 0)) <= expected * (1 + 1e-9)


def test_a_coarse_mesh_keeps_its_size_and_shape() -> None:
    angle = np.linspace(0, np.pi, 80)
    vertices, faces = meshes._turned(np.sin(angle), -np.cos(angle))
    few, kept = meshes.coarsen(vertices, faces, cells=8)
    assert len(few) < len(vertices) / 4
    assert np.allclose(np.ptp(few, axis=0), np.ptp(vertices, axis=0), rtol=0.15)
    assert volume(few, kept) > 0.75 * volume(vertices, faces)


def backend_under(**environment: str) -> subprocess.CompletedProcess[str]:
    """What `gl.backend` says in a process with these variables."""
    kept = {k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "DISPLAY", "PYOPENGL_PLATFORM")}
    code = "from envs import gl; print(gl.backend()); gl.drawing(lambda: None)"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=kept | environment
    )


@pytest.mark.usefixtures("display")
def test_osmesa_draws_where_egl_does_not_work() -> None:
    if backend_under(MUJOCO_GL="osmesa").returncode:
        pytest.skip("osmesa is not installed")
    done = backend_under(__EGL_VENDOR_LIBRARY_DIRS="/nonexistent")
    assert (done.returncode, done.stdout) == (0, "osmesa\n"), done.stderr


def test_without_opengl_the_message_says_what_to_install() -> None:
    done = backend_under(MUJOCO_GL="glfw")  # there is no screen
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "NoDisplayError: no OpenGL to draw MuJoCo scenes with (tried glfw); apt-get install libegl1" in last
