"""Settings that learners with a memory share: they learn by back-propagation through trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from meta_rl.config.base import AlgorithmConfig, Annealing
from meta_rl.config.bounds import Fraction, Length, NonNegativeFloat, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class MemoryConfig(AlgorithmConfig):
    """A recurrent policy that learns by back-propagation through trials (see `meta_rl.algorithms.recurrent`)."""

    annealing: ClassVar[Annealing] = Annealing("learning_rate_iterations", ("final_learning_rate",))

    discount: Fraction = 0.99
    """Discount factor, also across the episodes of a trial."""
    learning_rate: PositiveFloat = 5e-4
    """Step size of Adam, at the beginning."""
    final_learning_rate: NonNegativeFloat = 1.0
    """Factor on learning-rate that is reached linearly after learning-rate-iterations."""
    learning_rate_iterations: Length = None
    """Length of the annealing in iterations; None: those that the run begins with; 0: no annealing."""
    chunk: PositiveInt = 250
    """Env steps that gradients flow back through."""
    max_grad_norm: NonNegativeFloat = 1.0
    """Gradients are scaled down to this norm; 0: never."""
    reward_scale: PositiveFloat = 1.0
    """Factor on the rewards that the network reads."""

    @property
    def gradient_steps(self) -> int:
        """See `AlgorithmConfig`."""
        return 0

    @property
    def remembers(self) -> bool:
        """See `AlgorithmConfig`."""
        return True


@dataclass(frozen=True)
class TrialsConfig(MemoryConfig):
    """A recurrent policy that learns from the trials of the iteration, in several passes."""

    shared_update: ClassVar[bool] = True

    epochs: PositiveInt = 10
    """Passes over the batch per iteration."""
    minibatches: PositiveInt = 1
    """Parts of each pass, each a random choice of chunks of trials."""
    value_coef: NonNegativeFloat = 0.5
    """Weight of the value loss (on normalised returns)."""


@dataclass(frozen=True)
class TrialPpoConfig(TrialsConfig):
    """A recurrent policy that learns by PPO, over trials or over episodes one by one (see `meta_rl.algorithms.rl2`)."""

    annealing: ClassVar[Annealing] = Annealing(
        "learning_rate_iterations", ("final_learning_rate", "final_entropy_coef", "final_gae_bias")
    )

    gae_lambda: Fraction = 0.95
    """Lambda of generalised advantage estimation over the trial."""
    normalise_advantages: Literal["together", "trial"] = "together"
    """Over all trials together, or each trial by itself: tasks whose rewards are small then count as much as those
    whose rewards are large."""
    compress_returns: bool = False
    """The value head learns returns by a kind of square root (`meta_rl.maths.returns.compress`): it errs on small ones
    by less than on large ones."""
    final_gae_bias: Fraction = 1.0
    """Factor on 1 - gae-lambda that is reached linearly after learning-rate-iterations. 1: lambda stays as it is; 0: it
    ends at 1, where advantages have no bias from the value function."""
    clip_eps: PositiveFloat = 0.2
    """Probability ratios count up to 1 +- this."""
    max_kl: PositiveFloat = 0.05
    """Mean KL divergence, in nats, from the acting policy, above which an iteration takes no further steps: clipping
    alone does not keep a recurrent policy close."""
    entropy_coef: NonNegativeFloat = 5e-3
    """Weight of the entropy bonus."""
    final_entropy_coef: float = 1.0
    """Factor on entropy-coef that is reached linearly after learning-rate-iterations."""
    learn_from_means: bool = False
    """Learn from the mean reward of each action, if the environment knows it, not from the one received: the same
    gradient on average, with less noise. The network still reads the reward received."""
    success_bonus: NonNegativeFloat = 0.0
    """Added to the reward of every step at which the goal is met, for the losses alone: the network does not read it,
    and evaluations do not count it. For rewards that hardly tell a goal that is met from one that is nearly met."""

    @property
    def needs_mean_reward(self) -> bool:
        """See `AlgorithmConfig`."""
        return self.learn_from_means

    @property
    def needs_success(self) -> bool:
        """See `AlgorithmConfig`."""
        return self.success_bonus > 0
