"""The vector envs beside Meta-World's own: given the same seeds and actions they do the same, step by step."""

from __future__ import annotations

import copy
import functools
import pickle
from contextlib import closing
from typing import Any

import gymnasium as gym
import metaworld
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from metaworld.evaluation import evaluation, metalearning_evaluation
from metaworld.policies import ENV_POLICY_MAP
from numpy.typing import NDArray

import envs
from envs.metaworld import benchmarks, cache, vector_env
from envs.metaworld.suites import SUITES

pytestmark = pytest.mark.filterwarnings(
    "ignore:Constant:UserWarning",  # the experts ask for more than [-1, 1]
    "ignore:.*precision lowered:UserWarning",  # Meta-World's spaces
    "ignore:.*The obs returned:UserWarning",
    "ignore:.*is not within the observation space:UserWarning",
    "ignore:.*gym.make:UserWarning",
)
SEED = 4
LIMIT = 6
"""Env steps per episode: several ends of episodes in a short test."""

DRAW = metaworld._make_tasks


@pytest.fixture(autouse=True)
def goals_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meta-World draws goals anew whenever it makes an env, half a second per family. Here each draw happens once, and
    those of its benchmarks are kept on disk; tests/envs/test_metaworld.py holds them to what it draws."""

    @functools.cache
    def vectors(families: tuple[str, ...], seed: int) -> dict[str, NDArray[np.float64]]:
        for benchmark in benchmarks._STOCK.values():
            for split in ("train", "test"):
                counted = seed - (split == "test" and benchmark.train == benchmark.test)
                kept = cache.load(benchmarks._entry(benchmark, split, counted))
                if benchmark.families(split) == families and kept is not None:
                    return kept
        classes = {family: metaworld.ALL_V3_ENVIRONMENTS[family] for family in families}
        arguments = {family: {"args": [], "kwargs": {"task_id": 0}} for family in families}
        return benchmarks._vectors(DRAW(classes, arguments, {"partially_observable": True}, seed))

    def make_tasks(classes: Any, arguments: Any, override: dict[str, bool], seed: int | None = None) -> list[Any]:
        if seed is None:
            return DRAW(classes, arguments, override, seed)  # type: ignore[no-any-return]
        visible = not override["partially_observable"]
        drawn = vectors(tuple(arguments), seed)
        tasks = [envs.Task(family, tuple(row)) for family in arguments for row in drawn[family].tolist()]
        return [benchmarks.to_metaworld(task, visible) for task in tasks]

    monkeypatch.setattr(metaworld, "_make_tasks", make_tasks)


def pair(name: str, **options: Any) -> tuple[Any, Any]:
    """Ours and Meta-World's vector env of the same arguments."""
    theirs = dict(options)
    mode = theirs.pop("autoreset_mode", None)
    if name == "MT1" and mode is not None:  # gymnasium makes the vector env there
        theirs["vector_kwargs"] = {"autoreset_mode": mode}
    elif mode is not None:
        theirs["autoreset_mode"] = mode
    return gym.make_vec(f"meta-rl/{name}", **options), gym.make_vec(f"Meta-World/{name}", **theirs)


def same_infos(ours: dict[str, Any], theirs: dict[str, Any], left_out: tuple[str, ...] = ("t", "_t")) -> None:
    """The same keys, masks and numbers. Theirs have the Python type of whichever environment came first."""
    assert {*ours} - {*left_out} == {*theirs} - {*left_out}
    for key, value in theirs.items():
        if key in left_out:
            continue
        if isinstance(value, dict):
            same_infos(ours[key], value, left_out)
        elif value.dtype == object:
            for one, other in zip(ours[key], value, strict=True):
                np.testing.assert_array_equal(one, other)
                assert getattr(one, "dtype", None) == getattr(other, "dtype", None)
        elif value.dtype == bool and key.startswith("_"):
            np.testing.assert_array_equal(ours[key], value)
        else:
            rough = 1e-6 if key == "r" or value.dtype == np.float32 else 1e-8
            np.testing.assert_allclose(ours[key].astype(value.dtype), value, rough, rough, err_msg=key)


def same_steps(ours: Any, theirs: Any, steps: int, seed: int = 0, left_out: tuple[str, ...] = ("t", "_t")) -> int:
    """Step both by random actions; how many episodes have ended."""
    rng, ended = np.random.default_rng(seed), 0
    for _ in range(steps):
        actions = rng.uniform(-1.2, 1.2, ours.action_space.shape).astype(np.float32)
        got, expected = ours.step(actions), theirs.step(actions)
        same_step(got, expected, left_out)
        over = expected[2] | expected[3]
        ended += int(over.sum())
        if over.any() and ours.autoreset_mode == AutoresetMode.DISABLED:
            first, second = (env.reset(options={"reset_mask": over}) for env in (ours, theirs))
            np.testing.assert_array_equal(first[0], second[0])
    return ended


def same_step(got: Any, expected: Any, left_out: tuple[str, ...] = ("t", "_t")) -> None:
    """Both returned the same."""
    for one, other in zip(got[:4], expected[:4], strict=True):
        assert one.dtype == other.dtype
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1], expected[1], 1e-12, 1e-12)
    np.testing.assert_array_equal(got[2], expected[2])
    np.testing.assert_array_equal(got[3], expected[3])
    same_infos(got[4], expected[4], left_out)


def same_spaces(ours: Any, theirs: Any) -> None:
    """What a learner reads before it begins."""
    assert ours.num_envs == theirs.num_envs
    for name in ("single_observation_space", "observation_space", "single_action_space", "action_space"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"] == ours.autoreset_mode
    np.testing.assert_array_equal(ours.action_space.sample(), theirs.action_space.sample())


MODES = ["SameStep", "NextStep", "Disabled"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MT10", {"use_one_hot": True, "autoreset_mode": "SameStep"}),
        ("MT10", {"autoreset_mode": "NextStep"}),
        ("custom-mt-envs", {"envs_list": ["push-v3", "door-open-v3"], "vector_strategy": "sync", "use_one_hot": True}),
        *[("MT1", {"env_name": "push-v3", "num_envs": 2, "autoreset_mode": AutoresetMode(mode)}) for mode in MODES],
        ("MT1", {"env_name": "reach-v3", "num_envs": 1}),
    ],
)
def test_multitask_envs_do_as_metaworlds_over_many_episodes(name: str, options: dict[str, Any]) -> None:
    ours, theirs = pair(name, seed=SEED, max_episode_steps=LIMIT, **options)
    same_spaces(ours, theirs)
    first, second = ours.reset(seed=1), theirs.reset(seed=1)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[0].dtype == second[0].dtype
    assert first[1] == second[1] == {}
    # gymnasium.make puts a second time limit around MT1, beyond what counts episodes.
    left_out = ("episode", "_episode", "t", "_t") if name == "MT1" else ("t", "_t")
    assert same_steps(ours, theirs, 3 * LIMIT, left_out=left_out) >= 2 * ours.num_envs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ML10-train", {"meta_batch_size": 10}),
        ("ML10-test", {"meta_batch_size": 5, "total_tasks_per_cls": 2}),
        ("ML1-test", {"env_name": "push-v3", "meta_batch_size": 5}),
        ("custom-ml-envs", {"train_envs": ["push-v3"], "test_envs": ["reach-v3"], "meta_batch_size": 2,
                            "vector_strategy": "sync"}),
    ],
)  # fmt: skip
def test_meta_learning_envs_do_as_metaworlds_over_many_tasks(name: str, options: dict[str, Any]) -> None:
    ours, theirs = pair(name, seed=SEED, max_episode_steps=LIMIT, **options)
    same_spaces(ours, theirs)
    for round_ in range(3):  # ML10-test: the shuffled goals begin again
        for (one, info), (other, _) in zip(ours.call("sample_tasks"), theirs.call("sample_tasks"), strict=True):
            np.testing.assert_array_equal(one, other)
            assert info == {}
        np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])
        same_steps(ours, theirs, LIMIT + 2, seed=round_)
    for env in (ours, theirs):
        env.call("toggle_sample_tasks_on_reset", True)
    same_steps(ours, theirs, LIMIT + 2)
    assert [env.get_attr("sample_tasks_on_reset")[0] for env in (ours, theirs)] == [True, True]
    assert ours.get_attr("task_name") == theirs.get_attr("task_name")
    ours.close()
    theirs.close()


def goals_of(vector: Any, index: int) -> set[tuple[float, ...]]:
    """Goals of an environment of Meta-World's, or of ours."""
    found = vector.get_attr("tasks")[index]
    if isinstance(found[0], envs.Task):
        return {task.vector for task in found}
    vectors = benchmarks._vectors(found)
    return {tuple(vector) for rows in vectors.values() for vector in rows.tolist()}


def test_ml1_train_has_the_training_goals_where_metaworlds_has_the_test_goals() -> None:
    options = {"env_name": "reach-v3", "seed": SEED, "meta_batch_size": 1}
    ours, theirs = pair("ML1-train", **options)
    train, test = (
        {task.vector for task in envs.make("metaworld/ml1-reach-v3", split, goal_seed=SEED).tasks() or ()}
        for split in ("train", "test")
    )
    assert goals_of(ours, 0) == train
    assert goals_of(theirs, 0) == test
    with closing(vector_env("ML1-test", **options)) as unseen:
        assert goals_of(unseen, 0) == test
    # Told to draw from the training goals, theirs does as ours from here on.
    split = metaworld.ML1("reach-v3", seed=SEED).train_tasks
    theirs.set_attr("tasks", [list(split)])
    theirs.envs[0].env.tasks = list(split)
    for env in (ours, theirs):
        env.call("sample_tasks")
    np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])
    same_steps(ours, theirs, 8)
    theirs.close()
    ours.close()


def test_seed_0_is_a_seed_where_metaworlds_custom_envs_take_it_for_none() -> None:
    options = {"envs_list": ["reach-v3", "push-v3"], "seed": 0}
    ours = [vector_env("custom-mt-envs", **options) for _ in range(2)]
    assert goals_of(ours[0], 0) == goals_of(ours[1], 0)
    assert goals_of(ours[0], 0) == {t.vector for t in envs.make("metaworld/mt1-reach-v3", goal_seed=0).tasks() or ()}
    assert goals_of(ours[0], 1) == {t.vector for t in envs.make("metaworld/mt1-push-v3", goal_seed=1).tasks() or ()}
    theirs = [gym.make_vec("Meta-World/custom-mt-envs", vector_strategy="sync", **options) for _ in range(2)]
    assert goals_of(theirs[0], 0) != goals_of(theirs[1], 0)
    for env in (*ours, *theirs):
        env.close()


class Experts:
    """Meta-World's scripted policies as an agent of its evaluators; noise by what the observations are."""

    def __init__(self, vector: Any) -> None:
        by_class = {kind.__name__: name for name, kind in metaworld.ALL_V3_ENVIRONMENTS.items()}
        self._policies = [ENV_POLICY_MAP[by_class[name]]() for name in vector.get_attr("task_name")]

    def eval_action(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        rows = [policy.get_action(row) for policy, row in zip(self._policies, observations, strict=True)]
        return np.clip(np.stack(rows), -1, 1).astype(np.float32)

    def adapt_action(self, observations: NDArray[Any]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        return np.sin(observations[:, :4] * 40).astype(np.float32), {}

    def init(self) -> None: ...

    def reset(self, env_mask: NDArray[np.bool_]) -> None: ...

    def step(self, timestep: Any) -> None: ...

    def adapt(self) -> None: ...


def test_metaworlds_evaluation_gives_the_same_numbers() -> None:
    found = []
    for env in pair("custom-mt-envs", seed=SEED, envs_list=["reach-v3", "push-v3", "drawer-close-v3"],
                    vector_strategy="sync", max_episode_steps=120):  # fmt: skip
        found.append(evaluation(Experts(env), env, num_episodes=3))
        assert set(env.get_attr("terminate_on_success")) == {False}
        env.close()
    (success, mean, by_family, returns), (success_2, mean_2, by_family_2, returns_2) = found
    assert (success, by_family) == (success_2, by_family_2)
    assert success > 0.5
    assert mean == pytest.approx(mean_2, rel=1e-6)  # theirs are summed in single precision now and then
    for family, values in returns_2.items():
        assert returns[family] == pytest.approx(values, rel=1e-6)


def test_metaworlds_meta_learning_evaluation_gives_the_same_numbers() -> None:
    found = []
    for env in pair("ML1-test", env_name="drawer-close-v3", seed=SEED, meta_batch_size=2, max_episode_steps=110):
        protocol = {"num_evals": 2, "adaptation_episodes": 1, "evaluation_episodes": 2}
        found.append(metalearning_evaluation(Experts(env), env, **protocol))
        env.close()
    (success, mean, by_family), (success_2, mean_2, by_family_2) = found
    assert (success, by_family) == (success_2, by_family_2)
    assert success > 0
    assert mean == pytest.approx(mean_2, rel=1e-6)


def cleanrl_like(vector: Any, steps: int) -> list[float]:
    """The loop of CleanRL's ppo_continuous_action.py, with a policy that learns nothing: returns of its episodes."""
    weights = np.random.default_rng(1).normal(size=(39, 4)) * 0.3
    returns = []
    observation, _ = vector.reset(seed=1)
    done = np.zeros(vector.num_envs)
    for _ in range(steps):
        action = np.tanh(observation @ weights).astype(np.float32)
        observation, _, terminated, truncated, infos = vector.step(action)
        done = np.logical_or(terminated, truncated)
        assert ("final_info" in infos) == bool(done.any())
        if "final_info" in infos:
            episode = infos["final_info"]["episode"]
            returns.extend(episode["r"][episode["_r"]].tolist())
            assert all(infos["final_obs"][i].shape == (39,) for i in np.flatnonzero(done))
    return returns


def test_a_loop_like_cleanrls_collects_the_same_returns() -> None:
    # Without a second time limit around it: MT1 of one family, by the list of a custom one.
    returns = []
    for env in pair("custom-mt-envs", envs_list=["push-v3", "push-v3"], seed=SEED, max_episode_steps=20,
                    vector_strategy="sync"):  # fmt: skip
        returns.append(cleanrl_like(env, 85))
        env.close()
    assert len(returns[0]) == 8
    assert returns[0] == pytest.approx(returns[1], rel=1e-6)
    with closing(vector_env("MT1", "push-v3", seed=SEED, max_episode_steps=20, autoreset_mode="same_step")) as one:
        assert cleanrl_like(one, 85) == returns[0][::2]


def test_a_checkpoint_goes_on_with_the_same_goals() -> None:
    def play(vector: Any, steps: int) -> list[NDArray[Any]]:
        action = np.full(vector.action_space.shape, 0.5, np.float32)
        return [vector.step(action)[0].copy() for _ in range(steps)]

    options = {"meta_batch_size": 2, "total_tasks_per_cls": 6, "max_episode_steps": 3}
    with closing(vector_env("ML1-train", "reach-v3", seed=SEED, **options)) as env:
        env.call("toggle_sample_tasks_on_reset", True)
        env.reset()
        play(env, 10)
        kept = env.call("get_checkpoint")
        env.reset()
        expected = play(env, 20)
    with closing(vector_env("ML1-train", "reach-v3", seed=SEED, **options)) as other:
        other.call("load_checkpoint", kept)
        other.reset()
        np.testing.assert_array_equal(play(other, 20), expected)
        with pytest.raises(ValueError, match="none of reach-v3_0"):
            other.call("load_checkpoint", [])


def test_without_a_seed_goals_are_others_each_time() -> None:
    with closing(vector_env("MT1", "reach-v3")) as one, closing(vector_env("MT1", "reach-v3")) as other:
        assert not goals_of(one, 0) & goals_of(other, 0)


def test_every_id_is_known_to_make_vec_as_metaworlds_is() -> None:
    theirs = {name.partition("/")[2] for name in gym.registry if name.startswith("Meta-World/")}
    ours = {name.partition("/")[2] for name in gym.registry if name.startswith("meta-rl/")}
    assert ours == {*SUITES} == theirs - {"goal_hidden", "goal_observable"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "MT11"}, "unknown vector env 'MT11'; closest: MT1"),
        ({"name": "MT1"}, "env_name: needs a family"),
        ({"name": "MT1", "env_name": "push-v2"}, "closest: push-v3"),
        ({"name": "custom-mt-envs"}, "envs_list: needs a family"),
        ({"name": "MT10", "num_envs": 20}, "num_envs: got 20; valid: 10, one environment per family"),
        ({"name": "MT1", "env_name": "push-v3", "num_envs": 0}, "num_envs: got 0; valid: at least 1"),
        ({"name": "MT10", "seed": -1}, "seed: got -1; valid: 0 to"),
        ({"name": "MT10", "max_episode_steps": 0}, "max_episode_steps: got 0; valid: at least 1"),
        ({"name": "MT10", "reward_function_version": "v1"}, "valid: 'v2'"),
        ({"name": "MT10", "autoreset_mode": "never"}, "unknown mode 'never'"),
        ({"name": "MT10", "normalize_observations": True}, "NormalizeObservation around it"),
        ({"name": "MT10", "reward_normalization_method": "exponential"}, "NormalizeReward around it"),
        ({"name": "ML10-train", "recurrent_info_in_obs": True}, "a vector wrapper of your own"),
        ({"name": "ML10-train", "use_one_hot": True}, "use_one_hot: got True; valid: False"),
        ({"name": "ML10-train", "meta_batch_size": 15}, "a multiple of 10"),
        ({"name": "ML1-train", "env_name": "push-v3"}, "share its 50 goals evenly; 20 do not"),
        ({"name": "ML10-test", "total_tasks_per_cls": 51}, "total_tasks_per_cls: got 51"),
        ({"name": "custom-ml-envs", "train_envs": ["push-v3"], "test_envs": ["push-v3"]}, "share a family"),
        ({"name": "MT10", "env_name": "push-v3"}, "env_name: MT10 does not take it; those that do: MT1, ML1-train"),
        ({"name": "MT50", "envs_list": ["push-v3"]}, "envs_list: MT50 does not take it; .*: custom-mt-envs$"),
        ({"name": "MT10", "meta_batch_size": 10}, "meta_batch_size: MT10 does not take it; those that do: ML1-train"),
        (
            {"name": "ML10-test", "train_envs": ["push-v3"]},
            "train_envs: ML10-test does not take it; .*: custom-ml-envs$",
        ),
        ({"name": "MT10", "seed": 1.5}, "seed: got 1.5; valid: a whole number"),
        ({"name": "MT10", "max_episode_steps": 2.5}, "max_episode_steps: got 2.5; valid: a whole number"),
        ({"name": "MT1", "env_name": "push-v3", "num_envs": 2.0}, "num_envs: got 2.0; valid: a whole number"),
        ({"name": "MT10", "num_threads": 1.5}, "num_threads must be a whole number, got 1.5"),
        ({"name": "custom-mt-envs", "envs_list": "push-v3"}, r"envs_list: got 'push-v3'; valid: a list of families"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, envs.UnknownNameError), match=message) as caught:
        vector_env(**{"seed": SEED, **arguments})
    assert "\n" not in str(caught.value)


def test_numpys_whole_numbers_are_numbers() -> None:
    made = vector_env("MT1", "reach-v3", seed=np.int64(3), num_envs=np.int32(2))  # type: ignore[arg-type]
    with closing(made) as ours, closing(vector_env("MT1", "reach-v3", seed=3, num_envs=2)) as plain:
        np.testing.assert_array_equal(ours.reset()[0], plain.reset()[0])
        assert ours.envs[0].task == plain.envs[0].task


def test_what_cannot_be_done_is_said() -> None:
    stay = np.zeros((1, 4), np.float32)
    made = vector_env(
        "ML1-train", "reach-v3", seed=SEED, meta_batch_size=1, max_episode_steps=2, autoreset_mode="disabled"
    )
    with closing(made) as env:
        with pytest.raises(RuntimeError, match=r"no goal yet: call\('sample_tasks'\)"):
            env.reset()
        with pytest.raises(RuntimeError, match="call reset before step"):
            env.step(stay)
        env.call("sample_tasks")
        env.reset()
        with pytest.raises(ValueError, match=r"actions must be numbers of shape \(1, 4\)"):
            env.step(stay[0])
        with pytest.raises(envs.NonFiniteError, match=r"environment 0 \(reach-v3\), step 0"):
            env.step(stay * np.nan)
        with pytest.raises(ValueError, match="reset_mask must be bool"):
            env.reset(options={"reset_mask": np.zeros(1, bool)})
        with pytest.raises(ValueError, match="one for each of 1"):
            env.reset(seed=[1, 2])
        env.step(stay)
        env.step(stay)
        with pytest.raises(RuntimeError, match="the episodes of 0 are over"):
            env.step(stay)
    with pytest.raises(RuntimeError, match="closed"):
        env.reset()
    for copied in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match=r"neither pickled nor copied: .* call\('get_checkpoint'\)"):
            copied(env)
