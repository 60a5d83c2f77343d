"""The conformance check: silent on good distributions, one plain sentence on each kind of broken one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
from envs.api import FlatVectorEnv, NonFiniteError, Task, TaskDistribution, TaskVectorEnv
from envs.checks import CHECKS, ConformanceError, _Case, _play, check
from envs.trainable import DEMANDS, narrow_bounds, unheard_tasks, unknown_success
from envs.vector import GymDistribution

# -- a correct distribution with everything that can go wrong: noise, two families, termination, float32 -----------


class WalkEnv(TaskVectorEnv):
    """A noisy walk on a line; the reward is the position times the task's number, beyond 3 the episode terminates."""

    def __init__(self, num_tasks: int, envs_per_task: int, distribution: Walk) -> None:
        spaces = distribution.observation_space, distribution.action_space
        super().__init__(num_tasks, envs_per_task, *spaces, distribution.horizon)
        self.position, self.slope = np.zeros(self.shape), np.zeros((num_tasks, 1))
        self.noise: dict[tuple[int, int], np.random.Generator] = {}

    def _set_tasks(self, tasks):
        for task in tasks:
            if task.family not in Walk.families:
                raise ValueError(f"no family {task.family}")
        self.slope = np.array([task.vector for task in tasks])

    def _reset(self, seeds, mask):
        for task, env in np.argwhere(mask).tolist():
            self.noise[task, env] = np.random.default_rng([seeds[task], env])
            self.position[task, env] = 0.1 * self.noise[task, env].standard_normal()
        return self._look()

    def _step(self, action, active):
        for i in map(tuple, np.argwhere(active).tolist()):
            self.position[i] += action[i][0] + 0.1 * self.noise[i].standard_normal()
        far = np.abs(self.position) > 3
        return self._look(), self.slope * self.position, far, self.position > 1

    def _look(self):
        return np.stack([self.position, np.sin(self.position)], -1).astype(np.float32)


WALKS = [Task(family, (sign * i,)) for family, sign in (("down", -1), ("up", 1)) for i in range(1, 6)]


class Walk(TaskDistribution):
    name, split, families, horizon = "walk", "train", ("down", "up"), 15
    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    env_class: type[WalkEnv] = WalkEnv

    def tasks(self):
        return list(WALKS)

    def sample(self, rng, count):
        return [WALKS[5 * (i % 2) + rng.integers(5)] for i in range(count)]

    def make(self, num_tasks, envs_per_task):
        return self.env_class(num_tasks, envs_per_task, self)


class Pendulum(gym.Env):
    """Swing-up with a settable length; one torque; starts at a random angle."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gym.spaces.Box(-2, 2, (1,), np.float32)
    length = 1.0

    def set_task(self, vector):
        self.length = float(vector[0])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.angle, self.speed = self.np_random.uniform(-1, 1, 2)
        return self._look(), {}

    def step(self, action):
        self.speed += 0.05 * (15 / self.length * np.sin(self.angle) + 3 * float(action[0]))
        self.angle += 0.05 * self.speed
        return self._look(), -(self.angle**2), False, False, {"success": abs(self.angle) < 0.1}

    def _look(self):
        return np.array([np.cos(self.angle), np.sin(self.angle), self.speed], np.float32)


class Bandit(gym.Env):
    """Three arms; the task, given to reset, is their chances."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float64)
    action_space = gym.spaces.Discrete(3, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.chances = options["task"]
        return np.zeros(1), {}

    def step(self, action):
        reward = float(self.np_random.random() < self.chances[action - 1])
        return np.array([reward]), reward, False, False, {}


GOOD = {
    "walk": Walk,
    "navigation": lambda: envs.make("navigation", horizon=30),
    "pendulum": lambda: GymDistribution("pendulum", Pendulum, lambda rng: rng.uniform(0.5, 2, 1), horizon=20),
    "bandit": lambda: GymDistribution("bandit", Bandit, lambda rng: rng.random(3), horizon=8, success_key=None),
    "one step": lambda: GymDistribution("bandit", Bandit, lambda rng: rng.random(3), horizon=1, success_key=None),
    "ml1 native": lambda: envs.make("metaworld/ml1-reach-v3", horizon=12, engine="native"),
    "ml1 reference": lambda: envs.make("metaworld/ml1-reach-v3", horizon=12, engine="reference"),
    "ml1 test": lambda: envs.make("metaworld/ml1-reach-v3", "test", horizon=500),
    "two families": lambda: envs.make("metaworld/reach-v3,door-close-v3", horizon=12, engine="reference"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_distributions_pass(name: str) -> None:
    check(GOOD[name]())


SHORT = {name: {"horizon": 12} for name in envs.list_names() if "@" in name or name.startswith("classic/")}


@pytest.mark.parametrize("name", [name for name in envs.list_names() if not name.startswith("metaworld/")])
def test_listed_distributions_pass(name: str) -> None:
    check(envs.make(name, **SHORT.get(name, {})))


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", envs.list_names())
def test_listed_distributions_pass_with_their_own_horizons(name: str, split: str) -> None:
    check(envs.make(name, split))


@pytest.mark.parametrize("seed", range(5))
def test_other_seeds_pass_too(seed: int) -> None:
    check(Walk(), seed=seed)


# -- broken distributions: (the sentence, what is overridden) ------------------------------------------------------

DISTRIBUTIONS: dict[str, dict[str, Any]] = {
    "families must be a tuple of at least one name": {"families": ()},
    "families names a family twice": {"families": ("up", "up")},
    "name and split must be strings": {"split": None},
    "horizon must be a positive int, got 0": {"horizon": 0},
    "horizon must be a positive int, got 15.0": {"horizon": 15.0},
    "observation_space must be a Box": {"observation_space": gym.spaces.Discrete(3)},
    "action_space must be a Box of floats or Discrete": {"action_space": gym.spaces.Box(0, 5, (1,), np.int64)},
    r"sample\(rng, 5\) must return 5 tasks": {"sample": lambda self, rng, count: WALKS[: count - 1]},
    "sample must return envs.Task": {"sample": lambda self, rng, count: [("up", (1.0,))] * count},
    "of family 'aside', which is not in": {"sample": lambda self, rng, count: [Task("aside", (1,))] * count},
    "sample must draw each family equally": {"sample": lambda self, rng, count: [Task("up", (1,))] * count},
    "draw from nothing but rng": {
        "tasks": lambda self: None,
        "sample": lambda self, rng, count: [Task(("up", "down")[i % 2], (np.random.random(),)) for i in range(count)],  # noqa: NPY002
    },
    "gave another order": {"tasks": lambda self: [WALKS[i] for i in np.random.default_rng().permutation(10)]},
    "tasks of every family in families": {"tasks": lambda self: WALKS[:5]},
    r"a task that tasks\(\) does not list": {"tasks": lambda self: [Task("up", (7,)), Task("down", (7,))]},
    r"num_tasks\(\) says 3, tasks\(\) lists 10": {"num_tasks": lambda self: 3},
    "holds NaN or infinity": {
        "tasks": lambda self: None,
        "sample": lambda self, rng, count: [Task(("up", "down")[i % 2], (np.inf,)) for i in range(count)],
    },
    "gave environments of shape": {"make": lambda self, n, m: WalkEnv(m, n + 1, self)},
    "make must return a TaskVectorEnv": {"make": lambda self, n, m: gym.vector.SyncVectorEnv([Pendulum] * n * m)},
    "spaces must equal the distribution's": {"action_space": gym.spaces.Box(-1, 1, (2,), np.float32)},
    "the environment's horizon is 15, the distribution's 20": {"horizon": 20},
    "deterministic is claimed": {"deterministic": True},
    "knows_mean_reward is True, which is not": {"knows_mean_reward": True},
    "has_expert is True, which is not": {"has_expert": True},
    r"observation_space must be flat, \(n,\), got a Box of shape \(2, 2\).*FlattenObservation": {
        "observation_space": gym.spaces.Box(-1, 1, (2, 2))
    },
}
CLEAN = Walk()


def broken_distribution(sentence: str) -> TaskDistribution:
    changes = DISTRIBUTIONS[sentence]
    if "spaces" in sentence or "horizon is" in sentence:  # the environment does not follow its distribution
        changes = changes | {"make": lambda self, n, m: WalkEnv(n, m, CLEAN)}
    return type("Broken", (Walk,), changes)()


@pytest.mark.parametrize("sentence", DISTRIBUTIONS)
def test_broken_distributions(sentence: str) -> None:
    with pytest.raises(ConformanceError, match=sentence):
        check(broken_distribution(sentence))


class TypedWalk(WalkEnv):
    def step(self, action):
        step = super().step(action)
        return step._replace(reward=step.reward.astype(np.float32))


class HugeWalk(WalkEnv):
    def step(self, action):
        step = super().step(action)
        return step._replace(reward=step.reward + 1e300)


def test_a_number_that_training_could_not_read_is_refused() -> None:
    """Training reads rewards as float32, whose largest number is about 3.4e38."""
    with pytest.raises(ConformanceError, match=r"^reward holds 1e\+300, beyond the largest float32"):
        check(type("Huge", (Walk,), {"env_class": HugeWalk})())


class WideWalk(WalkEnv):
    def reset(self, seeds, mask=None):
        return super().reset(seeds, mask).astype(np.float64)


class ListWalk(WalkEnv):
    def step(self, action):
        return tuple(super().step(action))


class FlagWalk(WalkEnv):
    def _step(self, action, active):
        observation, reward, terminated, success = super()._step(action, active)
        return observation, reward, terminated, success.astype(float) * active


class NaNWalk(WalkEnv):
    def _step(self, action, active):
        observation, reward, *flags = super()._step(action, active)
        return observation, np.where(self._elapsed == 3, np.nan, reward), *flags


class UnseededWalk(WalkEnv):
    def _reset(self, seeds, mask):
        super()._reset(seeds, mask)
        self.position[mask] = np.random.default_rng().standard_normal(mask.sum())
        return self._look()


class WanderingWalk(WalkEnv):
    """Draws another task at every reset but the first after set_tasks."""

    def _set_tasks(self, tasks):
        super()._set_tasks(tasks)
        self.resets = 0

    def _reset(self, seeds, mask):
        self.slope = self.slope + (self.resets > 0)
        self.resets += 1
        return super()._reset(seeds, mask)


class CallersListWalk(WalkEnv):
    def set_tasks(self, tasks):
        super().set_tasks(tasks)
        self.tasks = tasks


class OrderedWalk(WalkEnv):
    """The second row gets another seed than the first would."""

    def _reset(self, seeds, mask):
        return super()._reset([seed + row for row, seed in enumerate(seeds)], mask)


class MixedWalk(WalkEnv):
    """Normalises rewards over the batch: symmetric in the tasks, but an episode is not its own."""

    def _step(self, action, active):
        observation, reward, *flags = super()._step(action, active)
        return observation, reward / self.slope.std().clip(1e-3), *flags


class LeftoverWalk(WalkEnv):
    """Keeps the largest slope that it ever saw in a slot."""

    most = 0.0

    def _set_tasks(self, tasks):
        super()._set_tasks(tasks)
        self.most = self.slope = np.maximum(self.slope, self.most)


class EarlyWalk(WalkEnv):
    def _step(self, action, active):
        self._elapsed[self._elapsed == 10] = self.horizon - 1
        return super()._step(action, active)


class EndlessWalk(WalkEnv):
    def step(self, action):
        self._elapsed[:] = 0
        return super().step(action)


class BothFlagsWalk(WalkEnv):
    def step(self, action):
        step = super().step(action)
        return step._replace(truncated=step.truncated | step.terminated)


class PaidWalk(WalkEnv):
    """Pays on after the end."""

    def step(self, action):
        step = super().step(action)
        return step._replace(reward=step.reward + (step.terminated | step.truncated))


class RestlessWalk(WalkEnv):
    def step(self, action):
        step = super().step(action)
        done = (step.terminated | step.truncated)[..., None]
        return step._replace(observation=np.where(done, action, step.observation))


class ProudWalk(WalkEnv):
    def step(self, action):
        step = super().step(action)
        return step._replace(success=step.success | step.terminated | step.truncated)


class ForgetfulWalk(WalkEnv):
    """Truncated is raised once and then forgotten."""

    def step(self, action):
        was_over = self._elapsed >= self.horizon
        step = super().step(action)
        return step._replace(truncated=step.truncated & ~was_over)


class TouchyWalk(WalkEnv):
    def _check_action(self, action, active):
        super()._check_action(action, np.ones_like(active))


class MasklessWalk(WalkEnv):
    def _reset(self, seeds, mask):
        return super()._reset(seeds, np.ones_like(mask))


class StubbornWalk(WalkEnv):
    """A reset of some resets none."""

    def reset(self, seeds, mask=None):
        return super().reset(seeds) if mask is None or mask.all() else self._observation.copy()


class AliasedWalk(WalkEnv):
    """Gives away one buffer again and again."""

    def step(self, action):
        step = super().step(action)
        self.buffer = getattr(self, "buffer", np.zeros_like(step.reward))
        self.buffer[:] = step.reward
        return step._replace(reward=self.buffer)


class TrustingWalk(WalkEnv):
    """Reads its state back from the observation that it gave away."""

    def _reset(self, seeds, mask):
        self.position = self.position.astype(np.float64)
        return super()._reset(seeds, mask)

    def step(self, action):
        self.position = self.position.astype(np.float64)
        step = super().step(action)
        self.position = step.observation[..., 0]
        return step


class GreedyWalk(WalkEnv):
    def _step(self, action, active):
        np.clip(action, -0.5, 0.5, out=action)
        return super()._step(action, active)


class HospitableWalk(WalkEnv):
    def _set_tasks(self, tasks):
        self.slope = np.array([task.vector for task in tasks])


class CastingWalk(WalkEnv):
    def _check_action(self, action, active):
        super()._check_action(action.astype(np.float32), active)


class LenientWalk(WalkEnv):
    def _check_action(self, action, active):
        super()._check_action(np.nan_to_num(action), active)


class MaskCastingWalk(WalkEnv):
    def reset(self, seeds, mask=None):
        return super().reset(seeds, None if mask is None else mask.astype(bool))


class AnonymousWalk(WalkEnv):
    def _check_action(self, action, active):
        try:
            super()._check_action(action, active)
        except NonFiniteError:
            raise NonFiniteError("NaN") from None


class EagerWalk(WalkEnv):
    """Resets itself when it was not."""

    def step(self, action):
        if self.tasks and not self._was_reset:
            self.reset([0] * self.num_tasks)
        return super().step(action)


class CloseOnceWalk(WalkEnv):
    def close(self):
        if self._closed:
            raise RuntimeError("closed already")
        super().close()


class TwistedFlat(FlatVectorEnv):
    def step(self, actions):
        observation, reward, *rest = super().step(actions)
        return observation, reward[::-1], *rest


class TwistedWalk(WalkEnv):
    def flat(self):
        return TwistedFlat(self)


class DeafWalk(WalkEnv):
    """Draws its noise and its rewards without a look at the task."""

    def _set_tasks(self, tasks):
        super()._set_tasks(tasks)
        self.slope = np.ones((self.num_tasks, 1))


class NarrowWalk(WalkEnv):
    def _step(self, action, active):
        if (action[active] > 1).any():
            raise IndexError(int(action.max()))
        return super()._step(action, active)


class RootWalk(WalkEnv):
    def _step(self, action, active):
        observation, reward, *flags = super()._step(action, active)
        return observation, np.where(action[..., 0] < -1, np.nan, reward), *flags


class SilentWalk(WalkEnv):
    missing_success = "nobody said whether it was met"


ENVIRONMENTS: list[tuple[str, type[WalkEnv]]] = [
    (r"reward must be a numpy array float64 \(2, 2\), got float32", TypedWalk),
    (r"observation must be a numpy array float32 \(2, 2, 2\), got float64", WideWalk),
    ("step must return an envs.Step, got tuple", ListWalk),
    ("success must be a numpy array bool", FlagWalk),
    ("reward holds NaN or infinity", NaNWalk),
    ("gave another episode: unseeded noise.*observation at reset", UnseededWalk),
    ("a second reset changed the task.*reward at step 0", WanderingWalk),
    ("env.tasks must be its own list", CallersListWalk),
    ("depends on the task that held its slot before", LeftoverWalk),
    ("swapping the tasks", OrderedWalk),
    ("depends on num_tasks or envs_per_task", MixedWalk),
    ("truncated before its horizon of 15", EarlyWalk),
    ("neither terminated nor truncated at its horizon of 15", EndlessWalk),
    ("terminated and truncated are both raised", BothFlagsWalk),
    ("must give reward 0", PaidWalk),
    ("must repeat its last observation", RestlessWalk),
    ("must not report success", ProudWalk),
    ("must keep its truncated flag", ForgetfulWalk),
    ("must ignore its action, even NaN", TouchyWalk),
    ("must leave the environments outside it alone", MasklessWalk),
    ("must restart the environments in the mask", StubbornWalk),
    ("changed during a later step", AliasedWalk),
    ("writing into a returned array changed the episode by step 1", TrustingWalk),
    ("wrote into the action array", GreedyWalk),
    ("refuse a task of an unknown family: expected ValueError, got no error", HospitableWalk),
    ("must refuse int64 actions", CastingWalk),
    ("must refuse a mask that is not bool", MaskCastingWalk),
    ("took a NaN or infinite action", LenientWalk),
    ("must name the task as JSON, got: NaN", AnonymousWalk),
    (r"flat\(\) must give the same numbers", TwistedWalk),
    ("step before the first reset must be refused", EagerWalk),
    ("closing twice must be fine, but raised RuntimeError", CloseOnceWalk),
    ("8 pairs of tasks gave the same episodes", DeafWalk),
    (r"outside its bounds, \[3.0\], raised IndexError: 3", NarrowWalk),
    (r"outside its bounds, \[-3.0\], gave NaN or infinity.*ClipAction", RootWalk),
    ("nobody said", SilentWalk),
]


class SumWalk(WalkEnv):
    def mean_reward(self, observation, action):
        return (self.slope[..., None] * observation[..., 0]).sum(-1)


class NaNMeanWalk(WalkEnv):
    def mean_reward(self, observation, action):
        return np.full(observation.shape[:-1], np.nan)


class MeanWalk(WalkEnv):
    def mean_reward(self, observation, action):
        return self.slope[..., None] * (observation[..., 0] + action[..., 0])


@pytest.mark.parametrize(
    ("sentence", "env_class"),
    [(r"\[task, env, time\], \(2, 2, 12\) here, got \(2, 2\)", SumWalk), ("mean_reward holds NaN", NaNMeanWalk)],
)
def test_broken_means(sentence: str, env_class: type[WalkEnv]) -> None:
    with pytest.raises(ConformanceError, match=sentence):
        check(type("Broken", (Walk,), {"env_class": env_class, "knows_mean_reward": True})())
    with pytest.raises(ConformanceError, match="knows_mean_reward is False"):
        check(broken_environment(env_class))


def test_known_means_keep_the_contract() -> None:
    check(type("Knowing", (Walk,), {"env_class": MeanWalk, "knows_mean_reward": True})())


class ShyExpertWalk(WalkEnv):
    def expert_action(self, observation):
        return np.ones(observation.shape[:2], np.float32)


class WildExpertWalk(WalkEnv):
    def expert_action(self, observation):
        return np.full((*observation.shape[:-1], 1), 7, np.float32)


class DreamingExpertWalk(WalkEnv):
    def expert_action(self, observation):
        return np.full((*observation.shape[:-1], 1), observation.ndim / 10, np.float32)


class ExpertWalk(WalkEnv):
    def expert_action(self, observation):
        return np.ones((*observation.shape[:-1], 1), np.float32)


@pytest.mark.parametrize(
    ("sentence", "env_class"),
    [
        (r"expert_action must be \[task, env, time, \*action\], \(2, 2, 13, 1\) here, got \(2, 2\)", ShyExpertWalk),
        ("answers with actions outside of Box", WildExpertWalk),
        ("not the same for one moment as for several", DreamingExpertWalk),
    ],
)
def test_broken_experts(sentence: str, env_class: type[WalkEnv]) -> None:
    with pytest.raises(ConformanceError, match=sentence):
        check(type("Broken", (Walk,), {"env_class": env_class, "has_expert": True})())
    with pytest.raises(ConformanceError, match="has_expert is False"):
        check(broken_environment(env_class))


def test_experts_keep_the_contract() -> None:
    check(type("Knowing", (Walk,), {"env_class": ExpertWalk, "has_expert": True})())


def broken_environment(env_class: type[WalkEnv]) -> TaskDistribution:
    return type("Broken", (Walk,), {"env_class": env_class})()


@pytest.mark.parametrize(("sentence", "env_class"), ENVIRONMENTS, ids=lambda x: getattr(x, "__name__", ""))
def test_broken_environments(sentence: str, env_class: type[WalkEnv]) -> None:
    with pytest.raises(ConformanceError, match=sentence):
        check(broken_environment(env_class))


def test_the_walk_has_both_endings() -> None:
    """Otherwise half of the breakages above would go unnoticed."""
    case = _Case(Walk(), 0)
    run = _play(case.env, case.tasks, case.seeds, case.draw_actions(15))
    assert 0 < run.terminated[10].sum() < run.truncated[14].sum() + run.terminated[14].sum() == 4
    assert run.truncated[14].any()


def test_an_environment_that_truncates_itself_is_told_to_keep_its_horizon() -> None:
    def make() -> gym.Env:
        return gym.wrappers.TimeLimit(Pendulum(), 5)

    with pytest.raises(ConformanceError, match="truncated before its horizon of 20"):
        check(GymDistribution("pendulum", make, lambda rng: rng.uniform(0.5, 2, 1), horizon=20))


def test_every_check_is_provoked_by_something_here() -> None:
    broken = [*map(broken_distribution, DISTRIBUTIONS), *(broken_environment(e) for _, e in ENVIRONMENTS)]
    provoked = set()
    for distribution in broken:
        with pytest.raises(ConformanceError) as caught:
            check(distribution)
        provoked.update(entry.name for entry in caught.traceback)
    assert {one.__name__ for one in CHECKS} <= provoked


@pytest.mark.parametrize(
    ("env_class", "made"),
    [(WalkEnv, None), (DeafWalk, unheard_tasks), (NarrowWalk, narrow_bounds), (SilentWalk, unknown_success)],
)
def test_each_demand_is_made_of_one_environment_here(env_class: type[WalkEnv], made: Any) -> None:
    case = _Case(broken_environment(env_class), 0)
    assert [one for one in DEMANDS if one(case)] == ([made] if made else [])


def test_one_task_alone_need_not_be_told_from_others() -> None:
    check(envs.FixedTask(GOOD["pendulum"](), Task("pendulum", (1.0,))))


def test_a_conformance_error_is_an_assertion_error_and_environments_are_closed() -> None:
    made: list[TaskVectorEnv] = []

    class Remembered(AnonymousWalk):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    with pytest.raises(AssertionError):
        check(broken_environment(Remembered))
    assert made
    assert all(env._closed for env in made)
