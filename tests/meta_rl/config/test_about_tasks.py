"""A sentence for people about the tasks of a run."""

from __future__ import annotations

import pytest

from meta_rl.config import about_tasks, default_config, replace_paths


@pytest.mark.parametrize(
    ("recipe", "env", "words"),
    [
        ("maml", "omniglot-5way-1shot", "5 hand-written characters, of which one picture of each is shown"),
        ("maml", "omniglot-20way-5shot", "20 hand-written characters, of which 5 pictures of each are shown"),
        ("maml", "sinusoid-10shot", "a sine wave, of which 10 points are shown"),
        ("maml", "synthetic-ratings-5shot", "an invented user, of whom 5 ratings are shown"),
        ("rl2", "metaworld/ml1-push-v3", "the policy is not told the goal"),
    ],
)
def test_it_says_what_a_task_is(recipe: str, env: str, words: str) -> None:
    assert words in about_tasks(default_config(recipe, env))


def test_it_follows_the_options_of_the_run() -> None:
    config = default_config("rl2", "metaworld/ml1-push-v3")
    assert "the goal is shown" in about_tasks(replace_paths(config, {"env_options.goal_visible": True}))


def test_of_somebody_elses_tasks_it_says_nothing() -> None:
    config = default_config("rl2", "navigation")
    assert about_tasks(replace_paths(config, {"env": "their_module:Theirs"})) == ""
