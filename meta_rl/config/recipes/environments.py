"""Defaults that depend on the tasks, for every recipe."""

from __future__ import annotations

from meta_rl.config.base import Rows

DEFAULTS: Rows = [
    (
        "*",
        "navigation",
        {
            "episodes_per_task": 20,
            "network.hidden": (100, 100),
            "network.activation": "relu",
            "network.init_std": 0.3,  # actions are clipped to 0.1; with 1.0 exploration is mostly clipped noise
            "evaluate.adaptation_episodes": 20,
            "evaluate.adaptation_steps": 3,
        },
    ),
    # Locomotion, FAMILY@PRESET. Rothfuss et al. 2019: run_scripts and experiments/all_envs_eval of jonasrothfuss/ProMP,
    # about 1000 iterations each.
    (
        "*",
        "*@*",
        {
            "meta_batch_size": 40,
            "episodes_per_task": 20,
            "network.hidden": (64, 64),
            "evaluate.adaptation_episodes": 20,
            "evaluate.adaptation_steps": 3,
        },
    ),
    # Actions are clipped to 0.4.
    ("*", "humanoid-dir@*", {"network.hidden": (128, 128), "network.init_std": 0.4}),
    # Finn et al. 2017: maml_examples/cluster_maml_trpo_cheetah.py of cbfinn/maml_rl.
    ("*", "*@maml2017", {"network.hidden": (100, 100), "network.activation": "relu"}),
    # Positions are read in metres, where millimetres decide.
    ("*", "metaworld/*", {"network.normalise_observations": True}),
    ("*", "metaworld/ml25", {"meta_batch_size": 25}),
    ("*", "metaworld/ml45", {"meta_batch_size": 45}),
    ("*", "metaworld/mt25", {"meta_batch_size": 25}),
    ("*", "metaworld/mt50", {"meta_batch_size": 50}),
    *[
        (
            "*",
            f"{kind}-*",
            {
                "iterations": 3000,
                "meta_batch_size": 16,
                "checkpoint_every": 500,
                "network.hidden": (64, 64, 64, 64),
                "network.activation": "relu",
                "evaluate.test_tasks": 1000,
                "evaluate.tasks_at_once": 20,
                "evaluate.adaptation_steps": 1,
                **changes,
            },
        )
        for kind, changes in {
            "omniglot": {},
            "images": {
                "network.hidden": (32, 32, 32, 32),
                "network.pooling": "max",
                "meta_batch_size": 4,
                "fewshot.query_shots": 15,
                "fewshot.test_query_shots": 15,
                "evaluate.test_tasks": 600,
            },
            "sinusoid": {
                "network.hidden": (40, 40),
                "meta_batch_size": 25,
                "fewshot.query_shots": 10,
                "fewshot.test_query_shots": 100,
                "iterations": 20000,
                "checkpoint_every": 2000,
                "evaluate.test_tasks": 600,
                "evaluate.tasks_at_once": 100,
            },
            "ratings": {
                "network.hidden": (32, 32),
                "network.activation": "tanh",
                "fewshot.query_shots": 20,
                "fewshot.test_query_shots": 100,
                "evaluate.test_tasks": 0,
            },
            "synthetic-ratings": {
                "network.hidden": (32, 32),
                "network.activation": "tanh",
                "fewshot.query_shots": 20,
                "fewshot.test_query_shots": 100,
                "evaluate.test_tasks": 0,
            },
        }.items()
    ],
]
