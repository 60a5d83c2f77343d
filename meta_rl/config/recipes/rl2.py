"""RL^2, with an LSTM or a GRU."""

from __future__ import annotations

from dataclasses import dataclass, fields

from meta_rl.config.base import Recipe, Rows
from meta_rl.config.bounds import NonNegativeFloat, other_than
from meta_rl.config.trials import TrialPpoConfig


@dataclass(frozen=True)
class Rl2Config(TrialPpoConfig):
    """RL^2: a recurrent policy trained by PPO over whole trials (see `meta_rl.algorithms.rl2`)."""

    reward_coef: NonNegativeFloat = 0.0
    """Weight of an auxiliary loss: the squared error of the memory's prediction of the reward, which teaches it what to
    keep (Jaderberg et al. 2017); 0: none."""
    reward_everywhere: bool = False
    """Also predict the rewards of all steps of the chunk, past and future, by a model linear in the observation. Trains
    the memory to keep what it learned of one observation while it sees others (as Zintgraf et al. 2020)."""
    act_on_rewards: bool = False
    """Discrete actions: logit = a * expected reward + b * its expected error, a constant and b falling during a trial
    (see `meta_rl.networks.reward_head`). Meant for rewards that differ by about 1 between actions and tasks: see
    reward-scale."""


_RL2 = "meta_rl.algorithms.rl2:Rl2"
_RECURRENT = "meta_rl.networks.recurrent:make_recurrent_policy"

RECIPES = {
    "rl2": Recipe(
        _RL2,
        Rl2Config(),
        "RL^2: an LSTM that remembers its episodes, trained by PPO (Duan et al. 2016)",
        _RECURRENT,
        defined_by={"network.cell": other_than("gru")},
    ),
    "rl2-gru": Recipe(_RL2, Rl2Config(), "the same with a GRU", _RECURRENT, defined_by={"network.cell": "gru"}),
}


OF_RL2: Rows = [
    (
        "rl2",
        "*",
        {
            "network.hidden": (256,),
            # One episode after another: the curve has a point after each.
            "evaluate.adaptation_episodes": 1,
            "evaluate.adaptation_steps": 10,
        },
    ),
    # run_scripts/rl2_run_sweep.py of jonasrothfuss/ProMP.
    (
        "rl2",
        "*@*",
        {
            "meta_batch_size": 100,
            "episodes_per_task": 2,
            "network.hidden": (64,),
            "algorithm.learning_rate": 1e-3,
            "algorithm.epochs": 5,
            "algorithm.gae_lambda": 1.0,
            "algorithm.chunk": 200,
            "evaluate.adaptation_steps": 2,
        },
    ),
    # The RL^2 of Zintgraf et al. 2020: config/mujoco/args_cheetah_vel_rl2.py of lmzintgraf/varibad; a batch is 16
    # processes x 800 env steps.
    (
        "rl2",
        "*@varibad",
        {
            "meta_batch_size": 32,
            "network.hidden": (128,),
            "algorithm.learning_rate": 7e-4,
            "algorithm.epochs": 2,
            "algorithm.minibatches": 4,
            "algorithm.clip_eps": 0.1,
            "algorithm.discount": 0.97,
            "algorithm.gae_lambda": 0.9,
            "algorithm.entropy_coef": 0.01,
            "algorithm.max_grad_norm": 0.5,
        },
    ),
    (
        "rl2",
        "metaworld/*",
        {
            # Small batches of short trials, and many passes over each. Trials of ten episodes teach little that three
            # do not, and one iteration moves a policy only so far, however large its batch. The rate is constant: one
            # that follows the KL divergence of such small batches grows too large.
            "meta_batch_size": 10,
            "episodes_per_task": 3,
            "evaluate.adaptation_steps": 2,
            "network.hidden": (128, 128),
            "network.head_hidden": (128,),
            "network.critic_hidden": (128,),
            "algorithm.epochs": 10,
            "algorithm.minibatches": 5,
            "algorithm.max_kl": 0.3,
            "algorithm.entropy_coef": 1e-3,
            "algorithm.reward_scale": 0.5,  # rewards are in [0, 10]
        },
    ),
    # A new goal asks for the same correction in all states. Raw observations hardly differ between states, so that a
    # gradient step on them is nearly that correction, and a memory that moves the hand has less to work against.
    (
        "rl2",
        "metaworld/ml1-reach-v3",
        {"network.normalise_observations": False, "network.init_std": 0.7, "algorithm.reward_scale": 0.1},
    ),
    # Every family needs as many samples as one would alone, so that steps of training are many, and passes over them
    # cost most of the time. Families earn 10 to 4,000 in an episode.
    *[
        (
            "rl2",
            f"metaworld/{benchmark}",
            {
                "meta_batch_size": trials,
                "algorithm.epochs": 4,
                "algorithm.minibatches": 15,
                "algorithm.normalise_advantages": "trial",
                "algorithm.compress_returns": True,
            },
        )
        for benchmark, trials in (("ml10", 30), ("ml25", 25), ("ml45", 45), ("mt10", 30), ("mt25", 25), ("mt50", 50))
    ],
    (
        "rl2",
        "navigation",
        {
            "iterations": 200,
            "meta_batch_size": 40,
            "episodes_per_task": 4,
            "network.hidden": (64,),
            "algorithm.chunk": 200,
            "algorithm.minibatches": 4,
            "algorithm.learning_rate": 1e-3,
            "algorithm.max_kl": 1.0,  # small standard deviations, needed to aim well, make KL large
            "evaluate.adaptation_steps": 3,
        },
    ),
    *[
        (
            "rl2",
            env,
            {
                "iterations": 300,
                "network.hidden": (128,),
                "algorithm.minibatches": 4,
                "algorithm.epochs": 5,
                "algorithm.gae_lambda": 0.3,  # as in the paper
                "algorithm.learning_rate": 3e-3,
                "algorithm.final_learning_rate": 0.1,
                "algorithm.entropy_coef": 1e-2,
                "algorithm.final_entropy_coef": 0.1,
                "evaluate.adaptation_steps": 1,
                **changes,
            },
        )
        for env, changes in (
            ("bandit/*", {"meta_batch_size": 1000, "episodes_per_task": 1}),  # the trial is one episode, all pulls
            (
                "tabular",
                {
                    "iterations": 2500,
                    "meta_batch_size": 250,
                    "evaluate.adaptation_episodes": 10,
                    # By itself an LSTM does not learn to keep the rewards of ten states and five actions: it settles
                    # for the action that pays best over all states. All of these settings together got it further.
                    "network.recall_observation": True,
                    "network.memory_steps": 100,
                    "algorithm.reward_coef": 1.0,
                    "algorithm.reward_everywhere": True,
                    "algorithm.act_on_rewards": True,
                    "algorithm.learn_from_means": True,
                    "algorithm.max_kl": 1.0,  # expected rewards, hence actions, change much in an iteration
                    "algorithm.entropy_coef": 0.03,
                    "algorithm.final_entropy_coef": 0.0,
                    "algorithm.final_gae_bias": 0.05,
                    "algorithm.learning_rate": 5e-3,
                    "algorithm.final_learning_rate": 0.05,
                    "algorithm.epochs": 2,
                    "algorithm.minibatches": 10,
                },
            ),
        )
    ],
    # All pulls of a short trial.
    *[("rl2", f"bandit/*-n{pulls}", {"network.attention_window": pulls}) for pulls in (10, 100)],
    # A hundred pulls and more: sampling is cheap, and new trials teach more than another epoch on old ones.
    *[
        (
            "rl2",
            f"bandit/*-n{pulls}",
            {
                "iterations": 1000,
                "meta_batch_size": 50_000 // pulls,
                "algorithm.epochs": 2,
                "algorithm.minibatches": 10,
                "algorithm.gae_lambda": 0.7,
                "algorithm.entropy_coef": 0.04,
                "algorithm.final_entropy_coef": 0.0,
                "algorithm.final_gae_bias": 0.0,
            },
        )
        for pulls in (100, 500)
    ],
]


def rows_for(recipe: str, config: type[TrialPpoConfig]) -> Rows:
    """The rows of rl2 for another recipe that learns by this PPO, without the settings that its config lacks."""
    known = {f"algorithm.{field.name}" for field in fields(config)}
    return [
        (recipe, env, {path: x for path, x in changes.items() if path in known or not path.startswith("algorithm.")})
        for _, env, changes in OF_RL2
    ]


DEFAULTS: Rows = [*OF_RL2, *rows_for("rl2-gru", Rl2Config), ("rl2-gru", "*", {"network.cell": "gru"})]
