"""Rapid motor adaptation: a teacher that is told the task, and a student whose memory replaces that."""

from __future__ import annotations

from dataclasses import dataclass

from meta_rl.config.base import Recipe, Rows
from meta_rl.config.bounds import Length, PositiveFloat
from meta_rl.config.recipes import rl2
from meta_rl.config.trials import TrialPpoConfig


@dataclass(frozen=True)
class RmaConfig(TrialPpoConfig):
    """Rapid motor adaptation (see `meta_rl.algorithms.rma`). What is said of trials is said of single episodes in the
    teacher's phase, to which nothing before an episode matters."""

    teacher_iterations: Length = None
    """Iterations in which the teacher acts and learns by PPO; in all after them the student acts and learns from the
    teacher. None: half of those that the run begins with. 0: for a run that starts from another one of rma,
    whose teacher stays as it is."""
    learning_rate_iterations: Length = None
    """Length of the teacher's annealing in iterations; None: teacher-iterations; 0: no annealing."""
    student_learning_rate: PositiveFloat = 3e-3
    """Step size of Adam for the student; learning-rate and its annealing are the teacher's."""

    @property
    def lengths(self) -> dict[str, float]:
        """See `AlgorithmConfig`. What is annealed is the teacher's, so it takes as long as that learns."""
        return {**dict.fromkeys(super().lengths, 0.0), "teacher_iterations": 0.5}

    @property
    def told_for(self) -> int:
        """See `AlgorithmConfig`."""
        return self.teacher_iterations or 0


RECIPES = {
    "rma": Recipe(
        "meta_rl.algorithms.rma:Rma",
        RmaConfig(),
        "rapid motor adaptation: a teacher is told the task, a student remembers instead (Kumar et al. 2021)",
        "meta_rl.networks.adaptive:make_adaptive_policy",
    ),
}

DEFAULTS: Rows = [
    ("rma", "*", {"network.latent_size": 8, "network.head_hidden": (64, 64), "network.critic_hidden": (64, 64)}),
    *rl2.rows_for("rma", RmaConfig),
    ("rma", "metaworld/*", {"network.head_hidden": (128, 128), "network.critic_hidden": (128, 128)}),
    # The student takes thousands of gradient steps, and has one target per task.
    ("rma", "navigation", {"meta_batch_size": 100, "episodes_per_task": 2, "algorithm.minibatches": 8}),
    (
        "rma",
        "*@*",
        {
            "meta_batch_size": 50,
            "algorithm.learning_rate": 5e-4,
            "algorithm.epochs": 10,
            "algorithm.minibatches": 10,
            "algorithm.gae_lambda": 0.95,
        },
    ),
]
