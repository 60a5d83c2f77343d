"""Success that is never told is absent from all that a run says, and why is said once; it does not read as 0 %."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envs
import meta_rl
from envs import registry
from envs.vector import GymDistribution
from meta_rl.core.types import missing_in_all
from meta_rl.evaluation.episodes import evaluate
from meta_rl.evaluation.recording import record
from meta_rl.training.train import train


class Point(gym.Env[Any, Any]):
    """A push to a place. The info is `told`, by the number of the step. Its log happens to be called `state`."""

    observation_space = gym.spaces.Box(-10, 10, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    goal = 0.0

    def __init__(self, *told: dict[str, Any]) -> None:
        self.told = told

    def set_task(self, vector: Any) -> None:
        self.goal = float(vector[0])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.x, self.state = self.np_random.uniform(-1, 1, 2), [0.0]
        return self.x.astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.x = self.x + 0.1 * action[0]
        self.state.append(float(self.x[0]))
        info = self.told[min(len(self.state) - 2, len(self.told) - 1)]
        return self.x.astype(np.float32), -abs(self.x[0] - self.goal), False, False, info


CASES: dict[str, tuple[tuple[dict[str, Any], ...], str]] = {
    "is_success": (({"is_success": True},), r"keys seen: 'is_success' (success_key='is_success'?"),
    "others": (({"steps": 1, "solved": True},), "keys seen: 'steps', 'solved' (success_key="),
    "nothing": (({},), "info was empty"),
    "success": (({"success": True},), ""),
    "at the third step": (({}, {}, {"success": 1}, {}), ""),
}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are registered here are forgotten afterwards."""
    monkeypatch.setattr(registry, "TABLE", dict(registry.TABLE))


def trained(case: str, folder: Path, **changes: Any) -> Path:
    """A run of two iterations."""

    def make() -> Point:
        return Point(*CASES[case][0])

    name = f"told-{list(CASES).index(case)}"
    if name not in registry.TABLE:
        envs.register(
            name, lambda split="train": GymDistribution(name, make, lambda rng: rng.random(1), 5, split=split)
        )
    config = meta_rl.default_config("maml-trpo", name)
    protocol = replace(config.evaluate, test_tasks=3, adaptation_episodes=3, tasks_at_once=2)
    changes = {"iterations": 2, "meta_batch_size": 3, "episodes_per_task": 3, "run_dir": str(folder), **changes}
    return train(replace(config, evaluate=protocol, **changes), say=lambda line: None)


@pytest.mark.parametrize("case", CASES)
def test_what_is_never_told_is_not_reported(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = CASES[case]
    run = trained(case, tmp_path / "run")
    shown = capsys.readouterr().out
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert ["success/stage_0" in row for row in rows] == [not said] * 2
    assert ("success is unknown" in shown) == bool(said)
    assert shown.count("success is unknown") <= 1
    assert said in shown
    assert ("| success " in shown) == (not said)

    agent, lines = meta_rl.load(run), []
    found = meta_rl.evaluate(run, say=lines.append)
    unknown = [line for line in lines if "success is unknown" in line]
    assert len(unknown) == bool(said)
    assert all(said in line for line in unknown)
    assert found.has_success == (not said)
    assert ("success" in found.names) == (not said)
    assert json.loads((run / "evaluation.json").read_text())["has_success"] == (not said)
    assert ("success" in (run / "report.md").read_text()) == (not said)
    assert ("success" in meta_rl.compare([run]).names) == (not said)

    judged = evaluate(agent.learner, agent.weights, envs.make(agent.config.env, "test"), agent.config.evaluate)
    assert judged.solved.all() == (not said)
    assert bool(judged.missing_success) == bool(said)
    recording = record(agent)
    assert recording.about["has_success"] == (not said)
    assert recording.state.shape == (3, 2, 3, 6, 0)  # the log grows, so it is no state


def test_shards_say_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = trained("is_success", tmp_path / "alone")
    together = trained("is_success", tmp_path / "shards", shards=3)
    for run in (alone, together):
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert not any(key.startswith("success") for row in rows for key in row)
    assert capsys.readouterr().out.count("keys seen: 'is_success'") == 2  # once a run


@pytest.mark.parametrize(
    ("sentences", "all_of_them"), [(["a", "b"], "a"), (["a", "", "b"], ""), ([""], ""), (["a"], "a")]
)
def test_success_is_unknown_only_if_nobody_told(sentences: list[str], all_of_them: str) -> None:
    assert missing_in_all(sentences) == all_of_them
