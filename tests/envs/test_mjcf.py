"""A robot of one's own: beside the same rules around MuJoCo's own step, one at a time, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import mujoco
import numpy as np
import pytest

import envs
from envs import EnvError, MujocoDistribution, Task
from envs.mjcf.arrays import COMPONENTS
from envs.mjcf.distribution import NOT_NEGATIVE
from tests.test_docs import blocks

CART = """
<mujoco>
  <option timestep="0.01" {option}/>
  <worldbody>
    <camera name="front" pos="0 -3 1" xyaxes="1 0 0 0 0.3 1"/>
    <geom name="floor" type="plane" size="2 2 0.1" friction="0.5"/>
    <body name="cart" pos="0 0 0.1">
      <joint name="x" type="slide" axis="1 0 0" damping="0.3"/>
      <geom size="0.1" mass="1" contype="0" conaffinity="0"/>
      <site name="top" pos="0 0 0.1"/>
      <body name="pole">
        <joint name="hinge" axis="0 1 0" damping="0.01"/>
        <geom name="rod" type="capsule" fromto="0 0 0 0 0 0.5" size="0.02" mass="0.2" contype="0" conaffinity="0"/>
        <site name="end" pos="0 0 0.5"/>
      </body>
    </body>
    <body name="ball" pos="0.6 0 0.1"><freejoint name="free"/><geom name="ball" size="0.1" mass="0.3"/></body>
  </worldbody>
  <actuator><motor name="push" joint="x" gear="5" ctrlrange="-1 1"/></actuator>
  <sensor><jointvel name="speed" joint="x"/><framepos name="where" objtype="site" objname="end"/></sensor>
</mujoco>
"""
SIMPLE = CART.format(option="").replace('<sensor><jointvel name="speed" joint="x"/><framepos name="where" '
                                        'objtype="site" objname="end"/></sensor>', "")  # fmt: skip


def observe(arrays: Any) -> Any:
    return np.concatenate([arrays["qpos"], arrays["qvel"], arrays.site("end")], 1)


def reward(arrays: Any) -> Any:
    moved = arrays.joint("x")[:, 0] - arrays.before.joint("x")[:, 0]
    return (
        moved / arrays.seconds - np.abs(arrays.site("end")[:, 0] - arrays.task[:, 0]) - 0.1 * arrays.action[:, 0] ** 2
    )


def start(rng: np.random.Generator, task: Any, qpos: Any, qvel: Any) -> Any:
    qpos[:2] += rng.uniform(-0.1, 0.1, 2)
    return qpos, qvel


def parameters(task: Any, model: mujoco.MjModel) -> Any:
    mass, friction = model.body_mass.copy(), model.geom_friction.copy()
    mass[model.body("pole").id] *= task[1]
    friction[model.geom("floor").id, 0] = task[2]
    return {"body_mass": mass, "geom_friction": friction, "gravity": [0, 0, -9.81 * task[1]]}


def cart(text: str = SIMPLE, **changes: Any) -> MujocoDistribution:
    given: dict[str, Any] = {
        "frame_skip": 3, "horizon": 40, "observe": observe, "reward": reward, "start": start, "parameters": parameters,
        "terminated": lambda arrays: np.abs(arrays.joint("hinge")[:, 0]) > 1.2,
        "success": lambda arrays: arrays.body("ball")[:, 0] > 0.65,
        "sample_vector": lambda rng: [rng.uniform(-1, 1), rng.uniform(0.5, 2), rng.uniform(0.2, 1)], "num_threads": 2,
    }  # fmt: skip
    return MujocoDistribution("cart", text, **given | changes)


@pytest.mark.parametrize("option", ["", 'integrator="RK4"', 'integrator="implicitfast" cone="elliptic"'])
@pytest.mark.parametrize("sensors", [False, True])
def test_equals_mujocos_own_step(option: str, sensors: bool) -> None:
    """States to the bit, and every number that the rules make of them."""
    text = CART.format(option=option) if sensors else SIMPLE.replace('timestep="0.01" ', f'timestep="0.01" {option}')
    seen: list[Any] = []

    def look(arrays: Any) -> Any:
        if sensors:
            seen.append((arrays.sensor("speed").copy(), arrays.sensor("where").copy()))
        return observe(arrays)

    reads = ("qpos", "qvel", "xpos", "site_xpos", *(["sensordata"] if sensors else []))
    distribution = cart(text, observe=look, reads=reads)
    tasks = distribution.sample(np.random.default_rng(0), 2)
    actions = np.random.default_rng(1).uniform(-1.3, 1.3, (30, 2, 2, 1)).astype(np.float32)
    seen.clear()
    with distribution.make(2, 2) as env:
        env.set_tasks(tasks)
        first = env.reset([3, 4])
        steps = [(env.step(action), [env.state(t, e) for t, e in np.ndindex(2, 2)]) for action in actions]
    for index, (t, e) in enumerate(np.ndindex(2, 2)):
        model = mujoco.MjModel.from_xml_string(text)
        goal, mass, friction = tasks[t].vector
        model.body_mass[model.body("pole").id] *= mass
        model.geom_friction[model.geom("floor").id, 0] = friction
        model.opt.gravity[:] = 0, 0, -9.81 * mass
        data = mujoco.MjData(model)
        rng = np.random.default_rng(int(np.random.SeedSequence([3 + t, e]).generate_state(1)[0]))
        data.qpos[:2] += rng.uniform(-0.1, 0.1, 2)
        mujoco.mj_forward(model, data)

        def observed(data: Any = data) -> Any:
            return np.concatenate([data.qpos, data.qvel, data.site("end").xpos])

        np.testing.assert_array_equal(first[t, e], observed())
        over = False
        for time, (step, states) in enumerate(steps):
            if over:
                assert step.terminated[t, e]
                assert step.reward[t, e] == 0
                continue
            before, ctrl = data.qpos[0], np.clip(float(actions[time, t, e, 0]), -1, 1)
            data.ctrl[:] = ctrl
            mujoco.mj_step(model, data, 3)
            sensed = data.sensordata.copy()
            mujoco.mj_kinematics(model, data)
            size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION)
            state = np.empty(size)
            mujoco.mj_getState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
            np.testing.assert_array_equal(states[index], state)
            np.testing.assert_array_equal(step.observation[t, e], observed())
            expected = (data.qpos[0] - before) / 0.03 - abs(data.site("end").xpos[0] - goal) - 0.1 * ctrl**2
            assert step.reward[t, e] == pytest.approx(expected, rel=0, abs=1e-12)
            assert step.success[t, e] == (data.body("ball").xpos[0] > 0.65)
            over = abs(data.qpos[1]) > 1.2
            assert step.terminated[t, e] == over
            if sensors:
                speed, where = seen[time + 1]
                np.testing.assert_array_equal(np.concatenate([speed[index], where[index]]), sensed)


def test_every_array_can_be_read() -> None:
    text = CART.format(option="")
    model = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(model)
    shapes = {}

    def look(arrays: Any) -> Any:
        shapes.update({name: arrays[name].shape[1:] for name in COMPONENTS})
        return arrays["qpos"]

    cart(text, observe=look, reward=lambda arrays: arrays["qpos"][:, 0], reads=tuple(COMPONENTS))
    assert shapes == {name: getattr(data, name).shape for name in COMPONENTS}


def test_the_contract_is_kept_also_with_dynamics() -> None:
    envs.check(cart(horizon=15))
    envs.check(envs.VariedDynamics(cart(horizon=15), "physics+delay=0..2+noise"))
    listed = {"train": [[0.0, 1.0, 0.5], [0.5, 1.0, 0.5], [1.0, 1.0, 0.5]], "test": [[0.2, 1.0, 0.5]]}
    distribution = cart(horizon=15, tasks=listed, sample_vector=None, start=None, split="train")
    envs.check(distribution)
    assert distribution.num_tasks() == 3
    assert distribution.deterministic


def test_going_on_from_a_moment_and_in_another_process() -> None:
    distribution = pickle.loads(cloudpickle.dumps(cart()))
    tasks = distribution.sample(np.random.default_rng(0), 2)
    actions = np.random.default_rng(1).uniform(-1, 1, (20, 2, 2, 1)).astype(np.float32)
    with distribution.make(2, 2) as env:
        env.set_tasks(tasks)
        env.reset([0, 1])
        for action in actions[:10]:
            env.step(action)
        with env.copy() as twin:
            for action in actions[10:]:
                for a, b in zip(env.step(action), twin.step(action), strict=True):
                    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"observe": lambda arrays: arrays["qpos"][0]},
            r"cart: observe gave float64 \(9,\), must be numbers \(3, 'numbers'\)",
        ),
        ({"reward": lambda arrays: arrays["qpos"]}, r"cart: reward gave float64 \(3, 9\), must be numbers \(3,\)"),
        ({"reward": lambda arrays: np.full(3, np.nan)}, "cart: reward gave NaN or infinity"),
        ({"reward": lambda arrays: 1 / 0}, "cart: reward raised ZeroDivisionError: division by zero"),
        (
            {"success": lambda arrays: arrays["cvel"]},
            "cart: success raised KeyError: \"'cvel' is not read: add it to reads",
        ),
        ({"observe": lambda arrays: arrays.site("tip")}, "cart: observe raised KeyError: .*'tip'.*Valid names.*'top'"),
        ({"parameters": lambda task, model: {"body_mass": [1.0]}}, "body_mass has 1 numbers, must have 4"),
        (
            {"parameters": lambda task, model: {"body_mass": -model.body_mass}},
            "body_mass must be finite and at least 0, got -",
        ),
        ({"parameters": lambda task, model: {"gravity": [0, 0, np.nan]}}, "gravity must be finite, got nan"),
        ({"parameters": lambda task, model: {"mass": [1.0]}}, "mass: the model has no such array"),
        ({"parameters": lambda task, model: {"nq": 3}}, "nq: the model has no such array"),
        ({"parameters": lambda task, model: {"gravity": "down"}}, r"gravity must be numbers, \(3,\), got 'down'"),
        ({"parameters": lambda task, model: [1.0]}, "cart: parameters of task .*TypeError.*; valid: a dict of arrays"),
        ({"parameters": lambda task, model: 1 / 0}, "cart: parameters of task .*ZeroDivisionError: division by zero"),
        (
            {"parameters": lambda task, model: {"gravity": [0, 0, -1]} if task[0] > 0 else {}},
            "cart: parameters of task .* changes nothing, but another task changes gravity; valid: the same arrays",
        ),
        (
            {"parameters": lambda task, model: {"geom_size": model.geom_size}},
            "cart: parameters: the engine has no array geom_size; valid: body_mass, .*, gravity",
        ),
        ({"reads": ["qpos", "contact"]}, "cart: reads: the engine has no array contact; valid: qpos, .*, sensordata"),
        ({"sample_vector": lambda rng: "abc"}, "cart: sample_vector gave 'abc'"),
        ({"sample_vector": lambda rng: 1 / 0}, "cart: sample_vector raised ZeroDivisionError: division by zero"),
        ({"sample_vector": lambda rng: [1.0, np.nan, 1.0]}, r"cart: sample_vector gave \[1.0, nan, 1.0\]"),
        ({"goal": lambda task: task[:2]}, r"cart: goal of task .* must be a place \[x, y, z\], got"),
        ({"goal": lambda task: 1 / 0}, "cart: goal of task .*ZeroDivisionError: division by zero"),
        ({"view": "side"}, "cart: view: Invalid name 'side'. Valid names: .*'front'"),
        ({"trail": "wheel"}, "cart: trail: Invalid name 'wheel'. Valid names: .*'cart'"),
        (
            {"start": lambda rng, task, qpos, qvel: (qpos[:3], qvel)},
            r"cart: start gave a qpos of shape \(3,\), must be \(9,\)",
        ),
        ({"start": lambda rng, task, qpos, qvel: qpos}, "cart: start raised ValueError"),
        ({"text": "<mujoco><worldbody><bodi/></worldbody></mujoco>"}, "cart: the MJCF text: .*bodi"),
        ({"text": "nowhere/arm.xml"}, "cart: there is no file .*nowhere/arm.xml"),
        ({"text": SIMPLE.replace(' ctrlrange="-1 1"', "")}, "cart: actuator push has no ctrlrange"),
        (
            {"text": SIMPLE.replace("<actuator>", "<!--").replace("</actuator>", "-->")},
            "cart: the model has no actuators",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(EnvError, match=said) as error:
        cart(changes.pop("text", SIMPLE), **changes)
    assert "\n" not in str(error.value)


def test_a_missing_mesh_is_named(tmp_path: Path) -> None:
    mesh = '<asset><mesh name="hull" file="hull.stl"/></asset><worldbody>'
    (tmp_path / "cart.xml").write_text(SIMPLE.replace("<worldbody>", mesh, 1))
    with pytest.raises(EnvError, match=r"cart: \S*cart.xml: .*hull.stl"):
        cart(str(tmp_path / "cart.xml"))


def test_bad_tasks_and_sizes_are_refused() -> None:
    for what in ("frame_skip", "horizon"):
        with pytest.raises(ValueError, match=f"cart: {what} must be at least 1, got 0"):
            cart(**{what: 0})
        with pytest.raises(ValueError, match=f"cart: {what} must be a whole number, got 1.5"):
            cart(**{what: 1.5})
    with pytest.raises(ValueError, match="give sample_vector, or tasks"):
        cart(sample_vector=None)
    with cart().make(1, 1) as env:
        for vector in ((1.0,), (0.0, 1.0, float("nan"))):
            with pytest.raises(ValueError, match=r"not a task of cart \(3 finite numbers\)"):
                env.set_tasks([Task("cart", vector)])
        with pytest.raises(
            EnvError, match=r"parameters of task \[0.0, -1.0, 0.5\]: body_mass must be finite and at least"
        ):
            env.set_tasks([Task("cart", (0.0, -1.0, 0.5))])


def test_what_blows_up_is_nan_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """One task has far too much gravity, the other is as always."""
    monkeypatch.chdir(tmp_path)
    distribution = cart(terminated=None, success=None)
    (task,) = distribution.sample(np.random.default_rng(0), 1)
    wild = Task("cart", (task.vector[0], 1e13, task.vector[2]))
    before = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
    action = np.zeros((2, 1, 1), np.float32)
    with distribution.make(2, 1) as env:
        env.set_tasks([wild, task])
        env.reset([0, 0])
        seen = [env.step(action) for _ in range(5)]
        assert np.isnan(seen[-1].reward[0]).all()
        assert np.isnan(seen[-1].observation[0]).all()
        assert np.isfinite([step.reward[1] for step in seen]).all()
        env.set_tasks([task, task])
        assert np.isfinite(env.reset([0, 0])).all()
        again = [env.step(action) for _ in range(5)]
        for one, before_it in zip(again, seen, strict=True):
            np.testing.assert_array_equal(one.observation[0], before_it.observation[1])
    assert list(tmp_path.iterdir()) == []
    assert "unstable" not in "".join(capfd.readouterr())
    if before:
        assert len(os.listdir("/proc/self/task")) == before


def test_the_scene_is_seen_through_the_models_camera() -> None:
    distribution = cart(goal=lambda task: [task[0], 0, 0.1], view="front", trail="pole")
    (task,) = distribution.sample(np.random.default_rng(0), 1)
    marks = distribution.scene(task).marks()
    assert marks["goal"] == pytest.approx([task.vector[0], 0, 0.1])
    assert marks["azimuth"] == pytest.approx(90)
    assert -30 < marks["elevation"] < -10
    assert marks["trail"] == 2
    assert distribution.scene(task).goal.startswith("goal (")
    assert len(distribution.scene(task).solids()) == 3
    assert set(NOT_NEGATIVE) <= set(dir(mujoco.MjModel))


def test_what_a_task_moves_is_drawn_where_it_is() -> None:
    """A geom and a site in the middle of their body, whose places MuJoCo does not read unless it has to."""
    text = SIMPLE.replace("</worldbody>", '<body name="mark"><geom name="mark" size="0.05"/><site name="mark"/></body>'
                                          "</worldbody>")  # fmt: skip

    def parameters(task: Any, model: mujoco.MjModel) -> Any:
        geoms, sites = model.geom_pos.copy(), model.site_pos.copy()
        geoms[model.geom("mark").id] = sites[model.site("mark").id] = task
        return {"geom_pos": geoms, "site_pos": sites}

    def places(arrays: Any) -> Any:
        return np.concatenate([arrays.geom("mark"), arrays.site("mark")], 1)

    reads = ("qpos", "qvel", "xpos", "site_xpos", "geom_xpos")
    distribution = cart(text, parameters=parameters, observe=places, reads=reads)
    (task,) = distribution.sample(np.random.default_rng(0), 1)
    scene: Any = distribution.scene(task)
    with distribution.make(1, 1) as env:
        env.set_tasks([task])
        np.testing.assert_array_equal(env.reset([0])[0, 0], np.tile(task.vector, 2))
        scene.poses(env.state(0, 0)[None])
    mujoco.mj_kinematics(scene._model, scene._data)
    np.testing.assert_allclose(scene._data.geom("mark").xpos, task.vector, rtol=1e-15)
    np.testing.assert_allclose(scene._data.site("mark").xpos, task.vector, rtol=1e-15)


def test_what_the_functions_give_is_kept_though_they_are_views() -> None:
    """Rewards of a constant push are the speeds after each step, and stay what they were while others follow."""
    distribution = cart(reward=lambda arrays: arrays["qvel"][:, 0], start=None, terminated=None)
    with distribution.make(1, 2) as env:
        env.set_tasks(distribution.sample(np.random.default_rng(0), 1))
        env.reset([0])
        steps = [env.step(np.ones((1, 2, 1), np.float32)) for _ in range(3)]
    speeds = [step.observation[0, 0, 9] for step in steps]  # behind nine positions
    assert speeds[0] < speeds[1] < speeds[2]
    assert [step.reward[0, 0] for step in steps] == speeds


def test_tasks_may_name_what_they_change_in_any_order() -> None:
    def parameters(task: Any, model: mujoco.MjModel) -> Any:
        changes = {"body_mass": model.body_mass * task[1], "gravity": [0, 0, -9.81]}
        return changes if task[0] > 0 else dict(reversed(changes.items()))

    distribution = cart(parameters=parameters, start=None)
    tasks, push = [Task("cart", (0.5, 1.5, 1.0)), Task("cart", (-0.5, 1.5, 1.0))], np.ones((2, 1, 1), np.float32)
    with distribution.make(2, 1) as env:
        env.set_tasks(tasks)
        env.reset([0, 0])
        for _ in range(3):
            first, second = env.step(push).observation[:, 0]
            assert first[9] > 0  # it moves
            np.testing.assert_array_equal(first, second)


def test_a_model_of_many_joints_equals_mujocos_own_step() -> None:
    """A pile of 70 balls, 420 degrees of freedom: MuJoCo lays out more of those than of a robot."""
    balls = "".join(f'<body pos="{i % 7} {i // 7} 0.3"><freejoint/><geom size="0.1"/></body>' for i in range(70))
    text = SIMPLE.replace("</worldbody>", f"{balls}</worldbody>")
    distribution = cart(text, start=None, parameters=None, observe=lambda arrays: arrays["qpos"])
    model = mujoco.MjModel.from_xml_string(text)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with distribution.make(1, 1) as env:
        env.set_tasks(distribution.sample(np.random.default_rng(0), 1))
        env.reset([0])
        for _ in range(5):
            data.ctrl[:] = 1
            mujoco.mj_step(model, data, 3)
            np.testing.assert_array_equal(env.step(np.ones((1, 1, 1), np.float32)).observation[0, 0], data.qpos)


def test_the_fingerprint_tells_models_apart(tmp_path: Path) -> None:
    (tmp_path / "cart.xml").write_text(SIMPLE)
    one, other = cart(tmp_path / "cart.xml").fingerprint(), cart(SIMPLE.replace("0.3", "0.4")).fingerprint()  # type: ignore[arg-type]
    assert one["model"] == cart().fingerprint()["model"] != other["model"]
    assert one["frame_skip"] == 3


def test_the_arm_of_the_page_reaches_and_pushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hand-written controller, which knows the goal, brings the tip there."""
    (tmp_path / "arm.xml").write_text(blocks("your-own-robot.md", "xml")[0])
    (tmp_path / "arm_of_the_page.py").write_text(blocks("your-own-robot.md", "python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    import arm_of_the_page as arm  # type: ignore[import-not-found]

    distribution = arm.reach()
    (task,) = distribution.sample(np.random.default_rng(2), 1)
    model = mujoco.MjModel.from_xml_path(str(tmp_path / "arm.xml"))
    data = mujoco.MjData(model)
    with distribution.make(1, 1) as env:
        env.set_tasks([task])
        observation = env.reset([0])[0, 0]
        rewards = []
        for _ in range(60):
            data.qpos[:9] = observation[:9]
            mujoco.mj_forward(model, data)
            jacobian = np.zeros((3, model.nv))
            mujoco.mj_jacSite(model, data, jacobian, None, model.site("tip").id)
            speeds = np.linalg.pinv(jacobian[:, :7], 0.05) @ (task.array - observation[18:21]) * 3
            action = np.append(speeds.clip(-1, 1), 0).astype(np.float32)
            step = env.step(action[None, None])
            observation = step.observation[0, 0]
            rewards.append(step.reward[0, 0])
        assert step.success[0, 0]
        assert rewards[-1] > -0.05 > rewards[0]
