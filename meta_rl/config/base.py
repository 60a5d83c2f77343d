"""Parts of configs, and the row of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from meta_rl.config.bounds import (
    GoalSeed,
    Horizon,
    Layers,
    MemorySteps,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Steps,
)
from meta_rl.errors import ConfigError


class Annealing(NamedTuple):
    """Fields of an algorithm's config that say how its numbers change over the iterations."""

    length: str
    """The field with the number of iterations that it takes: None for all of the run, 0 for no annealing."""
    factors: tuple[str, ...]
    """The fields with what numbers are multiplied by at its end; at 1 they stay as they are."""


@dataclass(frozen=True)
class AlgorithmConfig:
    """Base of the algorithms' configs; each stands for itself."""

    shared_update: ClassVar[bool] = False
    """Whether several processes can share the meta-update: all that it computes from tasks must be means over them."""
    annealing: ClassVar[Annealing | None] = None
    """What is annealed, if anything can be."""
    kept_observations: ClassVar[int] = 2
    """Observations that a replay keeps of each step: its own, and the next one where steps are drawn out of order."""

    @property
    def anneals(self) -> bool:
        """Whether a number changes over the iterations, if they are many enough."""
        factors = self.annealing.factors if self.annealing else ()
        return any(getattr(self, name) != 1 for name in factors)

    @property
    def lengths(self) -> dict[str, float]:
        """Fields that count iterations and are None until the run begins, each with the share of its iterations that it
        becomes then; 0: it stays None."""
        return {self.annealing.length: float(self.anneals)} if self.annealing else {}

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of one adaptation of a policy; 0: it adapts in another way, or not at all."""
        return 1

    @property
    def needs_mean_reward(self) -> bool:
        """Whether tasks have to know the mean of their rewards."""
        return False

    @property
    def taught_for(self) -> int | None:
        """Iterations over which an expert's share of acting falls from 1 to 0, of learners that read its actions at
        every step; None: no expert is asked."""
        return None

    @property
    def told_for(self) -> int | None:
        """Iterations in which whoever acts is told the numbers of the tasks, of learners that learn from these numbers;
        None: nobody learns from them."""
        return None

    @property
    def shown(self) -> str | None:
        """File or data set of the demonstrations that it learns from; None: it learns from environments."""
        return None

    @property
    def remembers(self) -> bool:
        """Whether a policy adapts by remembering its episodes rather than by steps."""
        return False

    @property
    def infers(self) -> bool:
        """Whether a policy adapts by inferring the task from its episodes, without a step and without a memory."""
        return False

    @property
    def needs_success(self) -> bool:
        """Whether tasks have to have goals that can be met."""
        return False

    def kept_steps(self, brought: int) -> int:
        """Most env steps that a run keeps in a replay, to learn from them again; 0: none.

        Args:
            brought: most env steps that a stage brings of a task, episodes x horizon.
        Raises:
            ConfigError: the settings do not fit that; naming the option.
        """
        return 0


@dataclass(frozen=True)
class EnvOptions:
    """What a task distribution leaves to choose (`envs.options` says which names leave what); None: its own default."""

    goal_visible: bool | None = None
    """Meta-World: show the goal in the observation; None: as the benchmark has it, visible in MT alone."""
    reward_version: Literal["v1", "v2"] | None = None
    """Meta-World: version of the reward functions; None: v2. v1 runs on Meta-World's own environments, which are some
    twenty times slower."""
    horizon: Horizon = None
    """Meta-World: env steps per episode; None: 500."""
    goal_seed: GoalSeed = None
    """Meta-World: seed that its goals are drawn by; None: 1."""
    task_visible: bool | None = None
    """Show the numbers of the task at the end of the observation, as an oracle would see them; None: they are
    hidden."""

    def given(self) -> dict[str, Any]:
        """Names and values of what was chosen."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class NetworkConfig:
    """The policy network, or the network of a few-shot learner."""

    hidden: Layers = (128, 128)
    """Units of each hidden layer (filters of each block for images); the last one of a recurrent policy is its cell."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Non-linearity between layers."""
    cell: Literal["lstm", "gru", "transformer"] = "lstm"
    """Memory of a recurrent policy (rl2, rl2-sac, rma, varibad, dagger, bc), a row of `meta_rl.networks.memory`: a cell
    with gates, or attention to a window of steps."""
    attention_window: PositiveInt = 64
    """transformer: env steps that each step attends to, itself and those just before it. The memory kept of every
    environment grows with it."""
    attention_layers: PositiveInt = 2
    """transformer: layers."""
    attention_heads: PositiveInt = 4
    """transformer: heads of each layer, which share its units in equal parts of at least 2."""
    memory_steps: MemorySteps = 0
    """rl2: the cell's units initially forget over 2 to this many env steps, drawn uniformly (chrono initialisation,
    Tallec and Ollivier 2018); 0: over about 4 (lstm) or 2 (gru). transformer: no effect, see attention-window."""
    recall_observation: bool = False
    """rl2: also read the previous observation, so that one input shows state, action and reward together."""
    clock_steps: NonNegativeInt = 0
    """Recurrent policies: read the time in the episode, in units of this many env steps, and the number of the episode
    in the trial; 0: read neither."""
    head_hidden: Layers = ()
    """rl2: hidden layers of the action head, which then reads the input of the cell beside its memory; none: it is
    linear in the memory. rma: those of the policy, which reads observation, previous action and what the task is.
    varibad: those of the action head, which reads the observation and the belief. rl2-sac: as rl2."""
    critic_hidden: Layers = ()
    """rl2, rma, varibad: hidden layers of the value head, as for the action head. rl2-sac: those of the critics."""
    task_hidden: Layers = (64,)
    """rma: hidden layers of the encoder of a task's numbers."""
    latent_size: PositiveInt = 5
    """rma, pearl, varibad: numbers that stand for a task. An encoder makes them of the task's own, and a memory
    estimates them (rma), or they are inferred from steps (pearl), or a belief is about them (varibad)."""
    init_std: PositiveFloat = 1.0
    """Initial standard deviation of actions, in action units; pearl, rl2-sac: about, before squashing, in half-widths
    of their box."""
    min_std: PositiveFloat = 1e-6
    """Lower bound on the standard deviation, in the same units."""
    normalise_observations: bool = False
    """Policies: shift and scale every number of an observation by its mean and standard deviation over all training
    steps so far, and cut it off at 10 deviations (see `meta_rl.core.normaliser`)."""
    encoder_hidden: Layers = (128, 128)
    """pearl: units of each hidden layer of the encoder, which reads the steps of a context one by one."""
    encode_next: bool = False
    """pearl: the encoder also reads the next observation of a step, where tasks differ in their dynamics."""
    norm: Literal["batch", "group", "none"] = "batch"
    """Images: normalise over the batch (its own statistics, never running ones), over groups of channels of one image,
    or not."""
    pooling: Literal["stride", "max"] = "stride"
    """Images: how a block halves height and width; max pooling costs four times as much."""


@dataclass(frozen=True)
class EvaluateConfig:
    """The evaluation protocol; the defaults are those of `docs/evaluation.md`."""

    test_tasks: NonNegativeInt = 0
    """Test tasks (few-shot: episodes); 0 means all of them where they are finitely many, else 40."""
    adaptation_episodes: PositiveInt = 10
    """Episodes each adaptation step learns from, with sampled actions."""
    evaluation_episodes: PositiveInt = 3
    """Episodes that judge each policy by mode actions (one if the environment is deterministic), and as many by sampled
    actions."""
    adaptation_steps: NonNegativeInt = 1
    """Adaptation steps at test time; the curve has one point more."""
    shown_steps: Steps = ()
    """Few-shot: adaptation steps to score after, besides the last; none given: 0, 1, 2, 3, 5, 8, 10, 20, 50, ..."""
    tasks_at_once: PositiveInt = 10
    """Tasks evaluated in one batch of environments."""
    evaluation_seed: NonNegativeInt = 0
    """Seeds the choice of test tasks and the noise of adaptation; the same for all runs, so that they compare."""
    stock_goals: NonNegativeInt = 0
    """Also run Meta-World's own (biased) evaluator on this many goals per family and print its number beside ours;
    0: no."""
    judge_sampled: bool = True
    """Also judge each policy by sampled actions; the headline is by mode actions. False saves the time. Few-shot tasks:
    no effect."""


@dataclass(frozen=True)
class Recipe:
    """A row of the table: which learner, with which settings.

    Attributes:
        learner: ``module:class`` of the learner, imported when needed.
        algorithm: its default config.
        summary: one line for the help.
        policy: ``module:function`` that makes the policy.
        learns: what it learns from: an environment (rl), labelled examples of any kind (examples), or of classes only
            (classes).
        defined_by: the settings that make it what its name says, by their dotted names: a value, or a `Bound` on it.
            With others it is another recipe, or none.
    """

    learner: str
    algorithm: AlgorithmConfig
    summary: str
    policy: str = "meta_rl.networks.policy:make_policy"
    learns: Literal["rl", "examples", "classes"] = "rl"
    defined_by: Mapping[str, Any] = field(default_factory=dict)


Rows = list[tuple[str, str, dict[str, Any]]]
"""(recipes, tasks, field path -> value): differences from the defaults of the dataclasses. Recipes and tasks are
patterns as in the shell. All matching rows apply; later ones win."""


def check_choice(option: str, value: str, valid: Mapping[str, Any]) -> None:
    """Raise ConfigError unless `value` is a key of `valid`, naming the closest key."""
    if value not in valid:
        all_ = ", ".join(valid)
        from envs import closest  # environments are heavy, and most values are right

        raise ConfigError(f"{option}: unknown {value!r}; closest: {closest(value, valid)} (all: {all_})")
