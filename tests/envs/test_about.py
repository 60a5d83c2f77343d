"""Sentences that say what tasks are: every listed name has them."""

from __future__ import annotations

import pytest

import envs
from envs import registry
from envs.about import SKILLS
from envs.metaworld.benchmarks import FAMILIES


@pytest.mark.parametrize("name", [*envs.list_names(), "bandit/k7-n3", "metaworld/reach-v3,push-v3:door-open-v3"])
def test_every_name_has_a_sentence(name: str) -> None:
    about = envs.about(name)
    assert about[0].isupper()
    assert about.endswith(".")
    assert 40 < len(about) < 200


def test_all_skills_of_metaworld_are_told_apart() -> None:
    assert set(SKILLS) == set(FAMILIES)
    assert len(set(SKILLS.values())) == len(FAMILIES)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("metaworld/ml1-push-v3", {}, ["pushes a puck to a goal", "the policy is not told the goal"]),
        ("metaworld/ml1-push-v3", {"goal_visible": True}, ["the goal is shown"]),
        ("metaworld/mt1-push-v3", {}, ["pushes a puck to a goal", "the goal is shown"]),
        ("metaworld/mt10", {}, ["10 skills", "the goal is shown"]),
        ("metaworld/ml10", {"horizon": 100}, ["learns from 10 skills", "judged on 5", "not told"]),
        ("metaworld/ml1-push-v3+dynamics", {}, ["pushes a puck", "masses and frictions"]),
        ("bandit/k7-n3", {}, ["7 arms", "3 times"]),
        ("cheetah-vel@pearl", {}, ["speed"]),
    ],
)
def test_it_says_what_differs(name: str, options: dict[str, object], words: list[str]) -> None:
    about = envs.about(name, **options)
    assert all(word in about for word in words), about


def test_a_users_own_says_nothing_and_an_unknown_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "TABLE", dict(registry.TABLE))
    envs.register("mine-without-words", lambda split: envs.make("navigation", split))
    assert envs.about("mine-without-words") == ""
    with pytest.raises(envs.UnknownNameError, match="navigation"):
        envs.about("navigatoin")
