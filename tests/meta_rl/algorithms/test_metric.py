"""Learners that compare embeddings, against hand-worked values and slow twins."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import pytest
import torch
from torch import Tensor

from meta_rl.algorithms.matching import Context, Matching, attention
from meta_rl.algorithms.metric import MetricLearner, members
from meta_rl.algorithms.prototypical import Prototypical
from meta_rl.algorithms.siamese import Siamese, contrastive, cross_entropy_of_pairs
from meta_rl.config import MatchingConfig, MetricConfig, NetworkConfig, SiameseConfig
from meta_rl.networks.fewshot import Network, make_embedding
from tests.meta_rl.fewshot_data import image_batch

IMAGES, WAYS = gym.spaces.Box(0, 1, (1, 8, 8)), gym.spaces.Discrete(3)


@pytest.fixture(autouse=True)
def _double() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def network(norm: str = "group") -> Network:
    return make_embedding(IMAGES, WAYS, NetworkConfig(hidden=(4, 4), norm=norm), seed=0).double()


LEARNERS: dict[str, Any] = {
    "prototypical": lambda net: Prototypical(MetricConfig(meta_lr=0.01), net),
    "matching": lambda net: Matching(MatchingConfig(meta_lr=0.01), net),
    "matching-l2": lambda net: Matching(MatchingConfig(meta_lr=0.01, similarity="l2"), net),
    "matching-fce": lambda net: Matching(MatchingConfig(meta_lr=0.01, full_context=True), net),
    "siamese": lambda net: Siamese(SiameseConfig(meta_lr=0.01), net),
    "siamese-koch": lambda net: Siamese(SiameseConfig(meta_lr=0.01, pair_loss="koch"), net),
}


def embed_by_identity(learner: MetricLearner, support: Tensor, target: Tensor, query: Tensor) -> Tensor:
    return learner.logits(learner.init().params, support, members(target, 2), query)


def test_prototypes_by_hand() -> None:
    """Class means (1, 0) and (0, 4); the query (1, 1) is at squared distances 1 and 10."""
    support = torch.tensor([[0.0, 0.0], [0.0, 4.0], [2.0, 0.0]])
    logits = embed_by_identity(
        Prototypical(MetricConfig(), network()), support, torch.tensor([0, 1, 0]), torch.tensor([[1.0, 1.0]])
    )
    torch.testing.assert_close(logits, torch.tensor([[-1.0, -10.0]]))


def test_cosine_matching_by_hand() -> None:
    """Cosines with the query (1, 0): 1, 0, 0.6, divided by the temperature 0.5; class 0 owns the first and the last."""
    learner = Matching(MatchingConfig(temperature=0.5), network())
    support = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    logits = embed_by_identity(learner, support, torch.tensor([0, 1, 0]), torch.tensor([[1.0, 0.0]]))
    weights = [math.exp(2.0), 1.0, math.exp(1.2)]
    expected = (weights[0] + weights[2]) / sum(weights)
    assert float(logits.softmax(-1)[0, 0]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("similarity", ["cosine", "l2"])
def test_attention_sums_to_one_and_class_probabilities_are_its_sums(similarity: str) -> None:
    learner = Matching(MatchingConfig(similarity=similarity), network())
    rng = torch.Generator().manual_seed(0)
    support, query = torch.randn(6, 5, generator=rng), torch.randn(4, 5, generator=rng)
    target = torch.tensor([0, 1, 0, 1, 1, 0])
    weights = attention(learner._similarity(query, support))
    torch.testing.assert_close(weights.sum(-1), torch.ones(4))
    assert (weights >= 0).all()
    logits = embed_by_identity(learner, support, target, query)
    torch.testing.assert_close(logits.softmax(-1), weights @ members(target, 2))


def test_full_context_equals_torchs_lstms() -> None:
    torch.manual_seed(0)
    context, support, query = Context(5, 3), torch.randn(4, 5), torch.randn(2, 5)
    both = torch.nn.LSTM(5, 5, bidirectional=True)
    for suffix, cell in (("", context.there), ("_reverse", context.back)):
        for name in ("weight_ih", "weight_hh"):
            getattr(both, f"{name}_l0{suffix}").data = getattr(cell, name).data
        getattr(both, f"bias_ih_l0{suffix}").data = cell.bias.data
        getattr(both, f"bias_hh_l0{suffix}").data.zero_()
    outputs = both(support)[0]
    g = support + outputs[:, :5] + outputs[:, 5:]
    reader = torch.nn.LSTMCell(10, 5)
    reader.weight_ih.data, reader.weight_hh.data = context.reader.weight_ih.data, context.reader.weight_hh.data
    reader.bias_ih.data = context.reader.bias.data
    reader.bias_hh.data.zero_()
    h, c, r = query, torch.zeros(2, 5), torch.zeros(2, 5)
    for _ in range(3):
        h, c = reader(torch.cat([query, r], -1), (h, c))
        h = h + query
        r = (h @ g.T).softmax(-1) @ g
    torch.testing.assert_close(context(support, query), (g, h))


@pytest.mark.parametrize(
    ("squared", "different", "margin", "expected"),
    [
        (4.0, 0.0, 1.0, 4.0),  # same class: D^2
        (0.25, 1.0, 1.0, 0.25),  # (1 - 0.5)^2
        (0.25, 1.0, 2.0, 2.25),  # (2 - 0.5)^2
        (9.0, 1.0, 2.0, 0.0),  # beyond the margin
        (0.0, 0.0, 1.0, 0.0),
    ],
)
def test_contrastive_loss_by_hand(squared: float, different: float, margin: float, expected: float) -> None:
    value = contrastive(torch.tensor(squared), torch.tensor(different), margin)
    assert float(value) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("different", [0.0, 1.0])
def test_contrastive_gradients_are_finite_at_distance_zero(different: float) -> None:
    a = torch.tensor([1.0, 2.0], requires_grad=True)
    value = contrastive((a - torch.tensor([1.0, 2.0])).square().sum(), torch.tensor(different), 1.0)
    (gradient,) = torch.autograd.grad(value, a)
    assert gradient.isfinite().all()
    assert float(value.detach()) == pytest.approx(different, abs=3e-4)


def test_koch_by_hand() -> None:
    """Cross-entropy of a logit of 2 for being the same: -log sigmoid(2) if they are, -log sigmoid(-2) if not."""
    logit = torch.tensor(2.0)
    assert float(cross_entropy_of_pairs(logit, torch.tensor(0.0))) == pytest.approx(math.log(1 + math.exp(-2)))
    assert float(cross_entropy_of_pairs(logit, torch.tensor(1.0))) == pytest.approx(math.log(1 + math.exp(2)))


def test_both_kinds_of_pairs_weigh_the_same() -> None:
    """Embeddings 0, 0 (class 0) and 0.5 (class 1): one same pair of loss 0, two different pairs of (1 - 0.5)^2."""
    learner = Siamese(SiameseConfig(), network())
    batch = image_batch(1, 2, 1, 1)
    support = batch.support[0]._replace(target=torch.tensor([0, 1]))
    data = batch._replace(support=(support,), query=batch.query._replace(target=torch.tensor([0])))
    loss = learner.loss({}, (torch.tensor([[0.0], [0.5]]), torch.tensor([[0.0]])), torch.empty(0), data)
    assert float(loss) == pytest.approx(0.5 * 0.25, abs=1e-4)


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_learners_learn_and_answer(name: str, norm: str) -> None:
    """A fixed batch of separable classes: accuracy rises well above chance; before the support it is chance."""
    learner, batch = LEARNERS[name](network(norm)), image_batch(tasks=4, ways=3, shots=2, query=3)
    state = learner.init()
    losses = [learner.meta_update(state, batch)["update/loss_before"] for _ in range(40)]
    assert losses[-1] < 0.8 * losses[0]
    (support,) = batch.support
    start = learner.start(state.weights, 4)
    assert (learner.predict(start, support, batch.query.observation, False) == 0).all()
    adapted = learner.adapt(start, support)
    for inductive in (False, True):
        answers = learner.predict(adapted, support, batch.query.observation, inductive).argmax(-1)
        assert answers.shape == batch.query.target.shape
        assert (answers == batch.query.target).double().mean() > (0.8 if not inductive or norm == "group" else 0.5)
    other = batch.query.observation.clone()
    other[:, 1:] += 0.3
    first, second = (learner.predict(adapted, support, q, True)[:, 0] for q in (batch.query.observation, other))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_losses_of_all_tasks_at_once_equal_a_loop(name: str, norm: str) -> None:
    learner, batch = LEARNERS[name](network(norm)), image_batch(tasks=2)
    state = learner.init()
    losses = []
    for task in range(2):
        one = torch.utils._pytree.tree_map(lambda x, task=task: x[task : task + 1], batch)
        losses.append(learner.meta_update(learner.init(), one)["update/loss_before"])
    assert learner.meta_update(state, batch)["update/loss_before"] == pytest.approx(sum(losses) / 2, abs=1e-12)
