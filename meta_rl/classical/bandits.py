"""Classical agents for Bernoulli bandits, as Duan et al. 2016 (RL^2, section 3.1) compare with.

All keep a Beta(1, 1) posterior per arm, that is, every arm starts with one success and one failure, and is not pulled
first for its own sake. Which arm wins a tie matters, because arms that were never tried tie with each other and with
some that were: the lowest number wins. Both are as in the authors' released evaluation (rllab,
sandbox/rocky/neural_learner); with that evaluation's random streams Greedy and UCB1 give the published numbers to the
last digit (`tests/meta_rl/classical`).
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl.classical.base import Array, ClassicalAgent

DEPTH = 1000
"""Pulls of one arm after which `gittins_indices` takes its success rate as known."""
POINTS = 1001
"""Sure payments at which `gittins_indices` weighs playing against stopping."""


class BanditSetting(NamedTuple):
    """Sizes that a bandit agent is told."""

    num_arms: int
    num_pulls: int


def _by_pulls(at_10: float, at_100: float, at_500: float) -> dict[tuple[int, ...], float]:
    """Constants for the rows of the paper's table, chosen with ``scripts/classical.py bandit --tune`` (seed 0, 8000
    tuning tasks); the best one turned out not to depend on the number of arms."""
    best = {10: at_10, 100: at_100, 500: at_500}
    return {BanditSetting(arms, pulls): best[pulls] for arms in (5, 10, 50) for pulls in best}


class BanditAgent(ClassicalAgent):
    """Pulls the arm with the largest index; subclasses say what the index is.

    Attributes:
        success, failure: counts ``[task, env, arm]``, both starting at 1.
        pulls: pulls so far.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        setting: BanditSetting,
        rng: np.random.Generator,
        constant: float | None = None,
    ) -> None:
        super().__init__(shape, setting, rng, constant)
        self.setting, self.pulls = setting, 0
        self.success: Array = np.ones((*shape, setting.num_arms))
        self.failure: Array = np.ones((*shape, setting.num_arms))
        self._arm = np.zeros(shape, np.int64)

    @property
    def mean(self) -> Array:
        """Posterior mean of every arm ``[task, env, arm]``."""
        return np.asarray(self.success / (self.success + self.failure))

    @abstractmethod
    def index(self) -> Array:
        """Index of every arm, ``[task, env, arm]``; the largest is pulled."""

    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[np.int64]:
        """See `ClassicalAgent.act`."""
        self._arm = self.index().argmax(-1)
        return self._arm

    def observe(self, reward: Array, done: NDArray[np.bool_]) -> None:
        """See `ClassicalAgent.observe`."""
        task, env = np.indices(self.shape)
        self.success[task, env, self._arm] += reward
        self.failure[task, env, self._arm] += 1 - reward
        self.pulls += 1


class RandomArms(BanditAgent):
    """Uniformly random arms."""

    def index(self) -> Array:
        """Noise."""
        return self.rng.random(self.success.shape)


class GreedyArms(BanditAgent):
    """The arm with the largest posterior mean, ``s / (s + f)``."""

    def index(self) -> Array:
        """The posterior mean."""
        return self.mean


class EpsilonGreedyArms(BanditAgent):
    """Greedy, but with probability epsilon (the constant) a uniformly random arm. Epsilon 0 is in the grid, which is
    why this column of the paper equals Greedy's where exploring never pays (n = 10)."""

    grid = tuple(round(0.1 * i, 1) for i in range(11))
    default = 0.1
    tuned = _by_pulls(0.0, 0.0, 0.1)

    def index(self) -> Array:
        """The posterior mean."""
        return self.mean

    def act(self, observation: NDArray[Any], noise: NDArray[Any] | None) -> NDArray[np.int64]:
        """See `ClassicalAgent.act`."""
        self._arm = self.explore(super().act(observation, noise), self.constant, self.setting.num_arms)
        return self._arm


class Ucb1(BanditAgent):
    """UCB1 (Auer et al. 2002) with a tuned width (Audibert & Munos 2011): ``mean + c sqrt(2 log(t) / count)``.

    t is the number of pulls so far; count and mean include the prior's two pulls. The textbook's c = 1 explores far
    too much for so few pulls; tuned, c is 0.1 to 0.2, which is why this column of the paper is so high.
    """

    grid = tuple(round(0.1 * i, 1) for i in range(11))
    default = 0.2
    tuned = _by_pulls(0.1, 0.2, 0.2)

    def index(self) -> Array:
        """The upper confidence bound."""
        width = np.sqrt(2 * np.log(max(self.pulls, 1)) / (self.success + self.failure))
        return np.asarray(self.mean + self.constant * width)


class Thompson(BanditAgent):
    """Thompson sampling (Thompson 1933; Chapelle & Li 2011): the best arm of a draw from the posterior.

    This plain version is the paper's column, low as it is: with about as many pulls as arms most draws are won by
    some arm that was never tried.
    """

    def index(self) -> Array:
        """One draw of every arm's success rate."""
        return self.rng.beta(self.success, self.failure)


class Gittins(BanditAgent):
    """The Gittins index (Gittins 1979): the sure payment per pull that is as good as being free to play this arm.

    Best possible for an endless discounted bandit; the discount (the constant) stands in for the number of pulls, and
    the grid is that of the authors' released evaluation. The published column takes approximations of several kinds
    (results/classical.md). See `gittins_indices` for how the index is computed.
    """

    grid = (0.9, 0.99, 0.999, 0.9999)
    default = 0.99
    tuned = _by_pulls(0.9, 0.99, 0.999)

    def index(self) -> Array:
        """The index, looked up."""
        table = gittins_indices(self.constant, max(DEPTH, self.setting.num_pulls + 2))
        return np.asarray(table[self.success.astype(np.int64), self.failure.astype(np.int64)])


@lru_cache(maxsize=8)
def gittins_indices(discount: float, depth: int = DEPTH) -> Array:
    """Gittins indices of Bernoulli arms by calibration against an arm that pays a known amount p for ever.

    For a posterior Beta(s, f), let w be what the freedom to play the arm is worth beyond p for ever:
    ``w(s, f) = max(0, m - p + discount (m w(s + 1, f) + (1 - m) w(s, f + 1)))``, ``m = s / (s + f)``. The index is
    the p at which playing stops paying. Two approximations: at ``s + f == depth`` the success rate is taken as known
    (``w = max(0, m - p) / (1 - discount)``), and p runs over `POINTS` values with linear interpolation in between,
    which w, piecewise linear in p, follows closely (Gittins et al. 2011, section 8.4).

    Args:
        discount: below 1.
        depth: the largest ``s + f``, prior included.
    Returns:
        ``[s, f]``, valid where ``s >= 1, f >= 1, s + f < depth``; 0 elsewhere.
    """
    table = np.zeros((depth + 1, depth + 1))
    step = 1 / (POINTS - 1)
    for start in range(0, POINTS - 1, _BLOCK):  # few payments at a time, so that all of it stays in the cache
        payment = np.arange(start, min(start + _BLOCK, POINTS - 1) + 1)[:, None] * step
        success = np.arange(1, depth)
        worth = np.maximum(success / depth - payment, 0) / (1 - discount)
        for total in range(depth - 1, 1, -1):
            success = success[:-1]
            mean = success / total
            gain = mean - payment + discount * (mean * worth[:, 1:] + (1 - mean) * worth[:, :-1])
            worth = np.maximum(gain, 0)
            last = (gain > 0).sum(0) - 1  # gain falls with the payment: the last one at which playing pays
            here = (last >= 0) & (last < len(payment) - 1)
            index, above, below = success[here], gain[last[here], here], gain[last[here] + 1, here]
            table[index, total - index] = (start + last[here] + above / (above - below)) * step
    table.setflags(write=False)
    return table


_BLOCK = 50

AGENTS: dict[str, type[BanditAgent]] = {
    "random": RandomArms,
    "gittins": Gittins,
    "thompson": Thompson,
    "ucb1": Ucb1,
    "epsilon-greedy": EpsilonGreedyArms,
    "greedy": GreedyArms,
}
