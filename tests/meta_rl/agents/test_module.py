"""The modules of a loaded agent hold what was learned, whoever calls, traces or saves them."""

from __future__ import annotations

import io
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import envs
from meta_rl.agents.agent import Agent
from meta_rl.algorithms.base import make_learner
from meta_rl.config import default_config, replace_paths
from meta_rl.core import normaliser
from meta_rl.core.interface import Interface
from meta_rl.core.weights import Weights
from meta_rl.errors import ConfigError
from meta_rl.evaluation.episodes import evaluate
from tests.meta_rl.agents.test_player import Lone
from tests.meta_rl.fewshot_data import image_batch


def other_weights(learner: Any, observation_dim: int = 0) -> Weights:
    """Weights that no initialisation gives, with statistics of observations if there is a dimension."""
    rng = torch.Generator().manual_seed(1)
    draw = lambda p: torch.randn(p.shape, generator=rng) * 0.7 if p.is_floating_point() else p  # noqa: E731
    first = learner.init().weights
    statistics = {}
    if observation_dim:
        numbers = np.random.default_rng(0).normal(3, 5, (1, 1, 50, observation_dim)).astype(np.float32)
        statistics = normaliser.merged(first.statistics, normaliser.measure([(numbers, np.ones((1, 1, 50), bool))]))
    params, shared = ({name: draw(p) for name, p in group.items()} for group in (first.params, first.shared))
    return Weights(params, shared, statistics)


class Spaces:
    def __init__(self, observation: gym.Space[Any], action: gym.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action


PLANE = gym.spaces.Box(-1, 1, (2,), np.float32)
ACTING = ("maml-trpo", "reptile", "rl2", "rl2-sac", "varibad", "promp", "random")
ACTIONS = {"box": PLANE, "discrete": gym.spaces.Discrete(4, start=2)}


def agent_for(
    recipe: str, normalised: bool = False, action: str = "box", observation: Any = PLANE, cell: str = "lstm"
) -> Agent:
    """An agent as `load` makes it, with weights that are not those of its initialisation."""
    learns = "navigation" if recipe in ACTING else "omniglot-5way-1shot"
    hidden = (8,) if learns == "navigation" else (4, 4)
    config = default_config(recipe, learns)
    changes = {"network.hidden": hidden, "network.normalise_observations": normalised, "network.cell": cell}
    config = replace_paths(config, changes | {"network.attention_window": 5})
    spaces = Spaces(observation, ACTIONS[action] if learns == "navigation" else gym.spaces.Discrete(3))
    learner: Any = make_learner(config, spaces)
    return Agent(config, learner, other_weights(learner, 2 if normalised else 0), 0, 0, Interface.of(spaces, 5))


SEEN = np.array([[0.3, -0.2], [5.0, 4.0], [-40.0, 1.0]], np.float32)


@pytest.mark.parametrize("recipe", ["maml-trpo", "reptile", "promp"])
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("normalised", [False, True])
def test_the_module_of_an_agent_answers_as_its_player(recipe: str, action: str, normalised: bool) -> None:
    agent = agent_for(recipe, normalised, action)
    module, player = agent.module(), agent.player()
    answers = module(torch.tensor(SEEN))
    for seen, answer in zip(SEEN, answers, strict=True):
        np.testing.assert_allclose(answer.numpy(), player.act(seen), rtol=1e-5)
    if action == "discrete":
        assert set(answers.tolist()) <= {2, 3, 4, 5}
    # What a file keeps of it is all of it: the statistics too.
    twin = agent_for(recipe, normalised, action)
    twin.weights.params.update({name: torch.zeros_like(p) for name, p in twin.weights.params.items()})
    other = twin.module()
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(torch.tensor(SEEN)), answers)


@pytest.mark.parametrize("normalised", [False, True])
def test_a_module_is_traced_exported_and_pickled(normalised: bool) -> None:
    module = agent_for("maml-trpo", normalised).module()
    x = torch.tensor(SEEN)
    expected = module(x)
    assert torch.equal(torch.jit.trace(module, x)(x), expected)
    assert torch.equal(torch.export.export(module, (x,)).module()(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), expected)
    assert not expected.requires_grad


@pytest.mark.parametrize(
    "recipe", ["maml-trpo", "reptile", "rl2", "rl2-sac", "varibad", "maml", "meta-lstm", "prototypical", "siamese-koch"]
)
def test_the_modules_of_the_learner_hold_what_was_learned(recipe: str) -> None:
    """Whatever one takes from `agent.learner.policy`, it is trained; and `init` is untrained as before."""
    images = gym.spaces.Box(0, 1, (1, 8, 8))
    agent = agent_for(recipe, observation=PLANE if recipe in ACTING else images)
    for name, p in agent.learner.policy.state_dict().items():  # type: ignore[attr-defined]
        assert torch.equal(p, agent.weights.params[name])
    for part in ("rule", "head", "decoder"):
        for name, p in getattr(agent.learner, part, torch.nn.Module()).named_parameters():
            assert torch.equal(p, agent.weights.shared[name])
    again: Any = make_learner(agent.config, agent.interface)
    fresh, first = again.init(), agent.learner.init()
    for group in ("params", "shared", "extras"):
        for name, p in getattr(fresh, group).items():
            assert torch.equal(p, getattr(first, group)[name])
    first.params.clear()
    assert agent.learner.init().params  # each call a state of its own


def test_calling_the_learners_policy_gives_the_trained_answer_or_says_why_not() -> None:
    x = torch.tensor(SEEN)
    agent = agent_for("maml-trpo")
    policy: Any = agent.learner.policy
    for seen, mean in zip(SEEN, policy(x).mean, strict=True):
        np.testing.assert_allclose(mean.detach().numpy(), agent.player().act(seen), rtol=1e-5)
    normalised: Any = agent_for("maml-trpo", True).learner.policy
    for ask in (
        lambda: normalised(x),
        lambda: torch.jit.trace(normalised, x),
        lambda: torch.export.export(normalised, (x,)),
    ):
        with pytest.raises(Exception, match=r"reads normalised observations; agent.module\(\)"):
            ask()
    assert normalised.apply({name: p.detach() for name, p in normalised.named_parameters()}, x).mean.shape == (3, 2)


@pytest.mark.parametrize("recipe", ["maml-trpo", "reptile"])
@pytest.mark.parametrize("normalised", [False, True])
def test_an_adapted_player_gives_its_adapted_module(recipe: str, normalised: bool) -> None:
    agent, distribution = agent_for(recipe, normalised), envs.make("navigation", horizon=5)
    lone = Lone(distribution, distribution.sample(np.random.default_rng(0), 1)[0])
    player = agent.player()
    before = player.module()(torch.tensor(SEEN))
    player.adapt(lone, episodes=2, steps=1)
    after = player.module()(torch.tensor(SEEN))
    assert not torch.equal(before, after)
    for seen, answer in zip(SEEN, after, strict=True):
        np.testing.assert_allclose(answer.numpy(), player.act(seen), rtol=1e-5)
    assert torch.equal(agent.module()(torch.tensor(SEEN)), before)  # the agent is as it was


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize(
    ("recipe", "cell", "action"),
    [
        *(
            (*row, action)
            for row in (("rl2", "lstm"), ("rl2", "transformer"), ("varibad", "gru"))
            for action in ACTIONS
        ),
        ("rl2-sac", "lstm", "box"),  # it has no other
    ],
)
def test_a_recurrent_module_remembers_as_its_player(action: str, normalised: bool, recipe: str, cell: str) -> None:
    player = agent_for(recipe, normalised, action, cell=cell).player()
    rng, rewards = np.random.default_rng(0), iter([1.0, -2.0, 0.5, 3.0] * 3)
    for _ in range(3):  # something to begin from
        player.act(rng.normal(size=2).astype(np.float32))
        player.observe(next(rewards), False)
    module: Any = player.module()
    player.reset()
    state, recall, clock = module.begin(1)
    for time in range(6):
        seen = rng.normal(size=2).astype(np.float32)
        expected, (reward, done) = player.act(seen), (next(rewards), time == 2)
        player.observe(reward, done)
        observed = torch.tensor(seen)[None]
        answer, state = module(observed, state, recall)
        np.testing.assert_allclose(answer[0].numpy(), expected, rtol=1e-4)
        recall, clock = module.remember(observed, answer, torch.tensor([reward]), torch.tensor([done]), clock)
    traced = torch.jit.trace(module, (observed, state, recall))
    assert all(
        torch.equal(a, b) for a, b in zip(traced(observed, state, recall), module(observed, state, recall), strict=True)
    )


def test_a_recurrent_module_begins_with_what_was_adapted() -> None:
    agent, distribution = agent_for("rl2"), envs.make("navigation", horizon=5)
    lone = Lone(distribution, distribution.sample(np.random.default_rng(0), 1)[0])
    player = agent.player().adapt(lone, episodes=2, steps=1)
    module: Any = player.module()
    state, recall, _ = module.begin(3)
    answer, _ = module(torch.tensor(SEEN), state, recall)
    np.testing.assert_allclose(answer[0].numpy(), player.act(SEEN[0]), rtol=1e-4)
    empty: Any = agent.module()
    assert not empty.begin(1)[0].any()
    assert state.any()


def test_the_module_of_labelled_examples_answers_with_the_meta_parameters() -> None:
    images = gym.spaces.Box(0, 1, (1, 8, 8))
    for recipe in ("maml", "prototypical"):
        agent = agent_for(recipe, observation=images)
        x: Tensor = image_batch().query.observation[0].float()
        expected = agent.learner.policy.apply(agent.weights.params, x)  # type: ignore[attr-defined]
        assert torch.equal(agent.module()(x), expected)


def test_what_has_no_network_has_no_module() -> None:
    agent = agent_for("random")
    for ask in (agent.module, agent.player().module):
        with pytest.raises(ConfigError, match="module: a UniformActor has no network"):
            ask()


def test_to_evaluate_a_loaded_agent_changes_nothing_of_its_numbers() -> None:
    agent = agent_for("maml-trpo", True)
    protocol = replace_paths(agent.config, {"evaluate.test_tasks": 2, "evaluate.adaptation_episodes": 2}).evaluate
    plain: Any = make_learner(agent.config, agent.interface)  # whose modules are as they were made
    test = envs.make("navigation", "test", horizon=5)
    found = [evaluate(learner, agent.weights, test, protocol).returns for learner in (agent.learner, plain)]
    np.testing.assert_array_equal(*found)
