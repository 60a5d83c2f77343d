"""``meta-rl adapt`` saves the player that its loop in Python would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import envs
from meta_rl import load, load_player
from meta_rl.agents.task_env import TaskEnv
from meta_rl.cli import main
from meta_rl.config import TrainConfig, default_config, replace_paths
from meta_rl.evaluation.episodes import test_tasks as draw_tasks
from meta_rl.training.train import train


@pytest.fixture
def run(tiny: Callable[..., TrainConfig]) -> Path:
    return train(tiny(iterations=1))


def test_on_a_task_of_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    agent = load(run)
    test, protocol = envs.make(agent.config.env, "test"), agent.config.evaluate
    tasks = draw_tasks(test, protocol.test_tasks, protocol.evaluation_seed)
    words = "--task 1 --env-steps 250 --steps 1 --seed 3 --keep-if better --judge-episodes 2"
    assert main(["adapt", str(run), *words.split()]) == 0
    said = capsys.readouterr().out
    player = agent.player(3)
    player.adapt(TaskEnv(test, tasks[1]), env_steps=250, steps=1, keep_if="better", judge_episodes=2)
    found = load_player(run / "player")
    assert found.practice
    assert player.practice
    assert found.practice.judgement == player.practice.judgement
    assert f"practised: {found.practice}\n" in said
    np.testing.assert_array_equal(found.act([0.1, 0.2]), player.act([0.1, 0.2]))
    assert main(["adapt", str(run / "player"), "--steps", "1", "--episodes", "1"]) == 0  # it is an agent, too
    assert (run / "player" / "results" / "player" / "player.json").exists()


def test_in_an_environment_of_gymnasium(tmp_path: Path) -> None:
    changes = {"iterations": 0, "network.hidden": (4,), "meta_batch_size": 2, "run_dir": str(tmp_path / "run")}
    run = train(replace_paths(default_config("rl2", "classic/pendulum"), changes))
    words = ["--gym", "Pendulum-v1", "--steps", "1", "--out", str(tmp_path / "mine")]
    assert main(["adapt", str(run), *words]) == 0
    player = load(run).player().adapt(gym.make("Pendulum-v1"), steps=1)
    seen = np.array([0.1, 0.2, 0.3])
    np.testing.assert_array_equal(load_player(tmp_path / "mine").act(seen), player.act(seen))


def test_what_is_wrong_is_said_in_a_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for words, part in {
        "--task 99": "--task: 99 asked for; valid: 0 to ",
        "--episodes 0": "--episodes: must be at least 1, got 0",
        "--env-steps 0": "--env-steps: must be at least 1, got 0",
        "--seconds 0": "--seconds: must be above 0, got 0.0",
        "--judge-episodes 1": "--judge-episodes: must be at least 2, got 1",
        "--keep-if good": "'not-worse', 'better'",
        "--gym Nothing-v0": "--gym: gymnasium cannot make 'Nothing-v0': ",
        "--gym CartPole-v1": "--gym: env: the observation space is Box(4,), the agent was trained with Box(2,)",
        f"--out {run}": f"--out: {run} exists and is not a saved player; choose another folder",
        "--taks 1": "closest: --task",
    }.items():
        assert main(["adapt", str(run), *words.split()]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert part in line, line
    assert not (run / "player").exists()
