"""Dynamics of tasks beside environments whose model was edited by hand, with a queue for the delay and noise drawn as
the page says: states and observations to the bit, rewards as the plain oracle tests have them."""

from __future__ import annotations

import json
from typing import Any

import mujoco
import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

import envs
from envs import Task, UnknownNameError
from envs.dynamics import PRESETS, QUANTITIES, parse
from envs.metaworld.benchmarks import reset_to, to_metaworld
from envs.metaworld.engine import FAMILIES, INFO_NAMES, EngineVectorEnv
from envs.metaworld.snapshots import STATE
from tests.envs.oracle import draw_tasks
from tests.envs.test_locomotion_oracle import edit_by_hand, gym_env, place, reward_outside

# (mass, friction, damping, gain, delay, action noise, observation noise)
HEAVY = (1.7, 0.6, 1.9, 0.8, 0, 0.0, 0.0)
LATE = (0.6, 1.5, 0.5, 1.3, 2, 0.05, 0.004)
QUICK = ("push-v3", "door-lock-v3", "bin-picking-v3", "basketball-v3")
ROBOTS = ("cheetah-vel@promp", "ant-goal@pearl", "humanoid-dir@v5", "walker-params@v5", "hopper-params@v5")


def edit(model: mujoco.MjModel, numbers: tuple[float, ...]) -> None:
    """Edit a model by hand."""
    mass, friction, damping, gain = numbers[:4]
    model.body_mass[:] *= mass
    model.body_inertia[:] *= mass
    model.geom_friction[:] *= friction
    model.dof_damping[:] *= damping
    model.actuator_gainprm[:] *= gain
    model.actuator_biasprm[:] *= gain


def noise(seed: int, env: int, step: int, width: int) -> np.ndarray:
    """The standard normal numbers of one step, as docs/dynamics.md says that they are drawn."""
    key = np.random.SeedSequence([seed, env]).generate_state(2, np.uint64)
    bits = np.random.Philox(key=key, counter=np.array([0, 0, step // 64, 0], np.uint64))
    return np.random.Generator(bits).standard_normal((64, width), np.float32)[step % 64]


class Sent:
    """The actions of an episode on their way to a robot: a queue, then noise."""

    def __init__(self, numbers: tuple[float, ...], seed: int, env: int, half: float, width: int, size: int) -> None:
        self.numbers, self.seed, self.env, self.half = numbers, seed, env, half
        self.width, self.size = width, size
        self.queue = [np.zeros(width, np.float32)] * int(numbers[4])
        self.step = 0

    def arrives(self, action: np.ndarray) -> np.ndarray:
        self.queue.append(action)
        arrived = self.queue.pop(0)
        drawn = noise(self.seed, self.env, self.step, self.width + self.size)[: self.width]
        self.step += 1
        scale = np.float32(self.numbers[5]) * np.float32(self.half)
        return arrived + scale * drawn if self.numbers[5] else arrived

    def seen(self, observation: np.ndarray, space: Any) -> np.ndarray:
        """What the policy sees, after `arrives` or at the reset."""
        if not self.numbers[6]:
            return observation
        drawn = noise(self.seed, self.env, self.step, self.width + self.size)[self.width :]
        return np.clip(observation + np.float32(self.numbers[6]) * drawn, space.low, space.high)


def state(env: Any) -> np.ndarray:
    numbers = np.empty(mujoco.mj_stateSize(env.model, STATE))
    mujoco.mj_getState(env.model, env.data, numbers, STATE)
    return numbers


def compare_family(family: str, steps: int) -> None:
    """Meta-World's own object of a family, edited by hand after each reset, beside the engine."""
    plain = draw_tasks(family, 2, seed=3)
    dynamics = (HEAVY, LATE)
    tasks = [Task(family, (*task.vector, *numbers)) for task, numbers in zip(plain, dynamics, strict=True)]
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (steps, 2, 2, 4)).astype(np.float32)
    actions[:, :, 1, 2] -= 0.5  # down to where things are
    with EngineVectorEnv(2, 2, steps, dynamics=True, num_threads=2) as env:
        env.set_tasks(tasks)
        first = env.reset([5, 6])
        seen = [(env.step(action), env.info, [env.state(t, e) for t, e in np.ndindex(2, 2)]) for action in actions]
        space = env.observation_space
    for index, (t, e) in enumerate(np.ndindex(2, 2)):
        theirs: Any = ALL_V3_ENVIRONMENTS[family]()
        theirs.set_task(to_metaworld(plain[t]))
        start = reset_to(theirs, plain[t])
        edit(theirs.model, dynamics[t])
        sent = Sent(dynamics[t], 5 + t, e, 1.0, 4, 39)
        np.testing.assert_array_equal(first[t, e], sent.seen(start, space))
        for time in range(steps):
            observation, reward, _, _, info = theirs.step(sent.arrives(actions[time, t, e]))
            step, infos, states = seen[time]
            np.testing.assert_array_equal(states[index], state(theirs))
            np.testing.assert_array_equal(step.observation[t, e], sent.seen(observation, space))
            assert step.reward[t, e] == pytest.approx(float(reward), rel=0, abs=1e-8)
            np.testing.assert_allclose(infos[t, e], [float(info[name]) for name in INFO_NAMES], rtol=0, atol=1e-8)
        theirs.close()


@pytest.mark.parametrize("family", QUICK)
def test_equals_metaworld_edited_by_hand(family: str) -> None:
    compare_family(family, steps=40)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_metaworld_edited_by_hand_for_long(family: str) -> None:
    compare_family(family, steps=300)


@pytest.mark.parametrize("name", ROBOTS)
def test_equals_gymnasium_edited_by_hand(name: str) -> None:
    """Both kinds of dynamics of the -params presets come together."""
    steps = 60
    base = envs.make(name, horizon=steps)
    distribution = envs.make(f"{name}+dynamics", horizon=steps, num_threads=2)
    assert isinstance(distribution, envs.VariedDynamics)
    preset: Any = base.preset  # type: ignore[attr-defined]
    drawn = base.sample(np.random.default_rng(3), 2)
    dynamics = (HEAVY, LATE)
    tasks = [Task(task.family, (*task.vector, *numbers)) for task, numbers in zip(drawn, dynamics, strict=True)]
    limit, width = preset.body.max_action, preset.body.num_actions
    actions = np.random.default_rng(4).uniform(-limit, limit, (steps, 2, 1, width)).astype(np.float32)
    with distribution.make(2, 1) as env:
        env.set_tasks(tasks)
        first = env.reset([5, 6])
        seen = [(env.step(action), [env.state(t, 0) for t in range(2)]) for action in actions]
        space, half = env.observation_space, float(env.action_space.high[0])
    for t in range(2):
        theirs = gym_env(preset)
        if preset.targets == "scales":
            edit_by_hand(theirs.model, drawn[t].vector)
        edit(theirs.model, dynamics[t])
        sent = Sent(dynamics[t], 5 + t, 0, half, width, space.shape[0])
        start, _ = theirs.reset(seed=int(np.random.SeedSequence([5 + t, 0]).generate_state(1)[0]))
        np.testing.assert_array_equal(first[t, 0], sent.seen(start, space))
        for time in range(steps):
            before = place(theirs, preset.shared.robot)
            arrived = sent.arrives(actions[time, t, 0]).astype(np.float64).clip(-limit, limit)
            observation, _, fallen, _, _ = theirs.step(arrived)
            step, states = seen[time]
            np.testing.assert_array_equal(states[t], state(theirs))
            np.testing.assert_array_equal(step.observation[t, 0], sent.seen(observation, space))
            expected = reward_outside(preset, theirs, before, arrived, drawn[t])
            assert step.reward[t, 0] == pytest.approx(expected, rel=0, abs=1e-9)
            if preset.height and fallen:
                assert step.terminated[t, 0]
                break
        theirs.close()


@pytest.mark.parametrize("name", ["metaworld/reach-v3,push-v3", "cheetah-vel@promp"])
def test_the_plain_numbers_are_the_plain_robot(name: str) -> None:
    plain, varied = envs.make(name), envs.make(f"{name}+mass=1")
    tasks = plain.sample(np.random.default_rng(0), 2)
    assert [task.vector[-7:] for task in varied.sample(np.random.default_rng(0), 2)] == [(1, 1, 1, 1, 0, 0, 0)] * 2
    with plain.make(2, 1) as a, varied.make(2, 1) as b:
        a.set_tasks(tasks)
        b.set_tasks([Task(task.family, (*task.vector, 1, 1, 1, 1, 0, 0, 0)) for task in tasks])
        np.testing.assert_array_equal(a.reset([0, 1]), b.reset([0, 1]))
        rng = np.random.default_rng(1)
        for _ in range(20):
            action = rng.uniform(-1, 1, (2, 1, *a.action_space.shape)).astype(np.float32)
            for x, y in zip(a.step(action), b.step(action), strict=True):
                np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", ["metaworld/ml1-push-v3+dynamics-hard", "hopper-params@promp+noise+delay=1..3"])
def test_threads_batches_and_order_do_not_matter(name: str) -> None:
    distribution = envs.make(name, num_threads=1)
    tasks = distribution.sample(np.random.default_rng(0), 4)
    actions = np.random.default_rng(1).uniform(-1, 1, (40, 4, 2, *distribution.action_space.shape)).astype(np.float32)

    def play(order: list[int], num_envs: int, num_threads: int) -> list[np.ndarray]:
        with envs.make(name, num_threads=num_threads).make(len(order), num_envs) as env:
            env.set_tasks([tasks[i] for i in order])
            first = env.reset([10 + i for i in order])
            steps = [env.step(action[order][:, :num_envs]) for action in actions]
        return [np.array([first, *(step.observation for step in steps)]), np.array([step.reward for step in steps])]

    whole = play([0, 1, 2, 3], 2, 2)
    for order, num_envs in (([3, 1], 2), ([2], 1), ([0, 3, 2], 1)):
        for part, all_of_it in zip(play(order, num_envs, 3), whole, strict=True):
            np.testing.assert_array_equal(part, all_of_it[:, order][:, :, :num_envs])


@pytest.mark.parametrize("name", ["metaworld/reach-v3,push-v3+dynamics", "cheetah-dir@promp+dynamics"])
def test_the_contract_is_kept(name: str) -> None:
    envs.check(envs.make(name, horizon=20))


def test_noise_is_added_to_no_memory_that_nobody_has_written() -> None:
    """Environments whose episodes are over have no new observation. Here memory of its size was full of NaN before."""
    with envs.make("metaworld/push-v3+dynamics").make(1, 2) as env:
        env.set_tasks(envs.make("metaworld/push-v3+dynamics").sample(np.random.default_rng(0), 1))
        size = env.reset([0]).size
        used = [np.full(size, np.nan) for _ in range(8)]
        del used
        action = np.zeros((1, 2, 4), np.float32)
        observation, *_ = env._step(action, np.zeros((1, 2), bool))
        assert np.isfinite(observation).all()


def test_draws_are_in_their_ranges() -> None:
    dynamics = parse("dynamics-hard")
    rng = np.random.default_rng(0)
    drawn = np.array([dynamics.draw(rng) for _ in range(2000)])
    low, high = np.array(dynamics.ranges).T
    assert (low <= drawn).all()
    assert (drawn <= high).all()
    middle = dict(zip(QUANTITIES, np.median(drawn, 0), strict=True))
    assert middle["mass"] == pytest.approx(1, abs=0.15)  # as often lighter as heavier
    assert middle["action-noise"] == pytest.approx(0.05, abs=0.01)
    assert set(drawn[:, 4]) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(parse("mass+delay=1").ranges[0], (0.5, 2.0))
    assert parse("mass+mass=3").ranges[0] == (3.0, 3.0)  # later ones prevail
    assert parse("noise").noisy
    assert not parse("physics+delay").noisy


def test_the_description_carries_the_numbers() -> None:
    distribution = envs.make("metaworld/ml1-push-v3+dynamics", "test")
    (task,) = distribution.sample(np.random.default_rng(0), 1)
    goals = {t.vector for t in envs.make("metaworld/ml1-push-v3", "test").tasks()}
    assert task.vector[:-7] in goals
    assert Task.from_json(task.to_json()) == task
    described = json.loads(json.dumps(distribution.fingerprint()))
    assert described["name"] == "metaworld/ml1-push-v3+dynamics"
    assert described["dynamics"] == {name: list(map(float, extent)) for name, extent in PRESETS["dynamics"].items()}
    assert "dynamics" not in envs.make("metaworld/ml1-push-v3").fingerprint()
    assert distribution.tasks() is None
    assert envs.families("metaworld/ml10+dynamics") == envs.families("metaworld/ml10")
    assert envs.stock_benchmark("metaworld/ml10+dynamics") == ()
    assert not distribution.deterministic
    assert envs.make("metaworld/ml1-push-v3+physics").deterministic


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("metaworld/ml1-push-v3+dynamic", "unknown dynamics 'dynamic'; closest: dynamics; valid: mass, friction"),
        ("metaworld/ml1-push-v3+mas=1..2", "'mas=1..2': unknown quantity 'mas'; closest: mass; valid: mass, friction"),
        ("metaworld/ml1-push-v3+mass=0..2", "'mass=0..2': mass must be between 0.01 and 100, got 0"),
        ("metaworld/ml1-push-v3+mass=2..1", "'mass=2..1': the range ends below its beginning; write mass=1..2"),
        ("metaworld/ml1-push-v3+mass=1..x", "'mass=1..x': write a range as mass=LOW..HIGH"),
        ("metaworld/ml1-push-v3+mass=nan", "mass must be between 0.01 and 100, got nan"),
        ("metaworld/ml1-push-v3+delay=0..0.5", "delay must be a whole number, got 0.5"),
        ("metaworld/ml1-push-v3+delay=11", "delay must be between 0 and 10, got 11"),
        ("metaworld/ml1-push-v3+", "unknown dynamics ''"),
        ("metaworld/ml1-pish-v3+mass", "unknown task distribution 'metaworld/ml1-pish-v3'"),
        ("navigation+mass", r"navigation\+mass: it has no dynamics to vary; Meta-World"),
        ("classic/cartpole+mass", "it has no dynamics to vary"),
    ],
)
def test_bad_names_are_refused_before_anything_is_made(name: str, said: str) -> None:
    with pytest.raises(UnknownNameError, match=said):
        envs.check_name(name)


def test_bad_tasks_and_engines_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="only the native engine varies dynamics"):
        envs.make("metaworld/ml1-push-v3+mass", engine="reference")
    with pytest.raises(UnknownNameError, match="it has no dynamics to vary"):
        envs.VariedDynamics(envs.make("navigation"), "mass")
    with pytest.raises(
        UnknownNameError, match=r"its dynamics vary already; name all ranges at once, as in mass\+delay"
    ):
        envs.VariedDynamics(envs.make("hopper-params@v5+mass"), "delay")
    distribution = envs.make("hopper-params@v5+dynamics", num_threads=1)
    (task,) = distribution.sample(np.random.default_rng(0), 1)
    with distribution.make(1, 1) as env:
        for vector, said in (
            ((*task.vector[:-7], -1.0, *task.vector[-6:]), "mass must be between 0.01 and 100, got -1"),
            ((*task.vector[:-3], 1.5, 0.0, 0.0), "delay must be a whole number, got 1.5"),
            ((*task.vector[:-1], float("nan")), "observation-noise must be between 0 and 100, got nan"),
            (task.vector[1:], "not a task of hopper-params@v5"),
            ((1.0,), "not a task with dynamics, whose last 7 numbers are mass, friction"),
        ):
            with pytest.raises(ValueError, match=said):
                env.set_tasks([Task(task.family, vector)])
    with pytest.raises(NotImplementedError, match="navigation: it has no dynamics"):
        envs.make("navigation").make_varied(1, 1)


def test_the_scene_says_what_is_varied() -> None:
    distribution = envs.make("cheetah-vel@promp+mass=2+delay=1")
    (task,) = distribution.sample(np.random.default_rng(0), 1)
    assert distribution.scene(task).goal.endswith("m/s, mass x 2.00, delay 1")


def test_settings_are_those_of_the_plain_tasks() -> None:
    from meta_rl.config import default_config

    plain, varied = (default_config("maml-trpo", f"metaworld/ml1-reach-v3{end}") for end in ("", "+dynamics"))
    assert (varied.algorithm, varied.network) == (plain.algorithm, plain.network)


def test_the_code_of_the_family_has_no_noise() -> None:
    distribution = envs.make("metaworld/mt10+observation-noise=0.1", num_threads=1)
    tasks = distribution.sample(np.random.default_rng(0), 10)
    with distribution.make(10, 1) as env:
        env.set_tasks(tasks)
        seen = [env.reset(range(10)), env.step(np.zeros((10, 1, 4), np.float32)).observation]
        moment = env.get_state()
        with env.copy() as twin:
            np.testing.assert_array_equal(twin.set_state(moment), seen[-1])
    for observation in seen:
        np.testing.assert_array_equal(observation[:, 0, 39:].sum(1), 1)
        assert set(np.unique(observation[:, 0, 39:])) == {0.0, 1.0}
        assert np.abs(observation[:, 0, 4:7]).min() > 0


def test_a_goal_that_is_moved_keeps_its_dynamics() -> None:
    distribution = envs.make("ant-goal@promp+dynamics")
    (task,) = distribution.sample(np.random.default_rng(0), 1)
    moved = distribution.with_goal(task, (1.0, 0.5, 0.1))
    assert moved == Task("ant-goal", (1.0, 0.5, *task.vector[2:]))
