"""Runs that keep a replay: the same bits after any stop, and a file that nobody but the run itself needs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import meta_rl
from envs.navigation import Navigation
from meta_rl.algorithms.pearl import Pearl
from meta_rl.cli import main
from meta_rl.config import TrainConfig, default_config
from meta_rl.core.state import TrainState
from meta_rl.errors import ConfigError, Stopped
from meta_rl.handover.export import export
from meta_rl.runs import checkpoint
from meta_rl.runs.checkpoint import REPLAY, CheckpointError, CheckpointWarning
from meta_rl.runs.log import read_rows
from meta_rl.runs.signals import Stop
from meta_rl.training.train import train
from tests.meta_rl.agents.test_practised import lone
from tests.meta_rl.training.test_train import assert_same_run, quiet

Tiny = Callable[..., TrainConfig]
SMALL: dict[str, dict[str, Any]] = {
    "pearl": {
        "network.encoder_hidden": (6,),
        "network.activation": "relu",
        "algorithm.update_steps": 3,
        "algorithm.update_tasks": 4,
        "algorithm.batch_size": 8,
        "algorithm.context_size": 10,
        "algorithm.replay_size": 300,  # an iteration brings up to 400 steps of a task
        "algorithm.replay_tasks": 7,  # and three tasks: the ring goes round in the third
    },
    "rl2-sac": {
        "network.hidden": (8,),
        "network.head_hidden": (8,),
        "network.critic_hidden": (8,),
        "algorithm.update_steps": 3,
        "algorithm.update_trials": 4,
        "algorithm.chunk": 30,
        "algorithm.replay_size": 1400,  # seven trials of two episodes; an iteration brings three
    },
}


@pytest.fixture
def small(tiny: Tiny) -> Tiny:
    """``small(name, recipe, **changes)``: the config of a small run of PEARL, or of another one with a replay."""

    def make(name: str = "run", recipe: str = "pearl", **changes: Any) -> TrainConfig:
        of_recipe = {"recipe": recipe, "algorithm": default_config(recipe, "navigation").algorithm}
        return tiny(name, **of_recipe | SMALL[recipe] | changes)

    return make


def whole_state(run: Path) -> TrainState:
    state = checkpoint.load_newest(run / "checkpoints", replay=True)
    assert state is not None
    return state


def assert_same_replay(a: Path, b: Path) -> None:
    one, two = whole_state(a).replay, whole_state(b).replay
    assert list(one) == list(two)  # the order of the tasks too
    assert one
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


@pytest.mark.parametrize("recipe", SMALL)
@pytest.mark.parametrize("stop", [1, 3])
def test_stop_and_resume_equals_an_uninterrupted_run(small: Tiny, stop: int, recipe: str) -> None:
    whole = train(small("whole", recipe), quiet)
    train(small("parts", recipe, iterations=stop), quiet)
    parts = train(small("parts", recipe), quiet)
    assert_same_run(whole, parts)
    assert_same_replay(whole, parts)


def test_an_iteration_that_is_abandoned_after_its_episodes_were_kept_is_done_again(
    small: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(small("whole"), quiet)
    update = Pearl.meta_update

    def endless(self: Pearl, state: TrainState, batch: Any) -> Any:
        metrics = update(self, state, batch)  # the replay has the episodes by now
        if state.iteration == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            while True:
                time.sleep(0.01)
        return metrics

    with monkeypatch.context() as patch:
        patch.setattr(Pearl, "meta_update", endless)
        patch.setattr("meta_rl.training.train.Stop", lambda show: Stop(0.2, show))
        with pytest.raises(Stopped):
            train(small("cut"), quiet)
    assert whole_state(small("cut").path).iteration == 2
    cut = train(small("cut"), quiet)
    assert_same_run(whole, cut)
    assert_same_replay(whole, cut)


@pytest.mark.parametrize("recipe", SMALL)
def test_workers_and_shards_give_the_same_bits(small: Tiny, recipe: str) -> None:
    plain = train(small("plain", recipe, shards=3), quiet)
    shared = train(small("shared", recipe, shards=3, workers=2), quiet)
    assert_same_run(plain, shared)
    assert_same_replay(plain, shared)


def test_a_copy_of_a_state_shares_the_replay_and_is_not_changed_by_it(small: Tiny) -> None:
    state = whole_state(train(small(iterations=1), quiet))
    copy = state.copy()
    assert all(copy.replay[name].data_ptr() == tensor.data_ptr() for name, tensor in state.replay.items())
    state.replay = {}
    assert copy.replay


def test_the_replay_is_a_file_that_goes_with_its_checkpoint(small: Tiny) -> None:
    run = train(small(keep_checkpoints=2), quiet)
    kept = sorted((run / "checkpoints").iterdir())
    assert [path.name for path in kept] == ["00000003", "00000004"]
    for path in kept:
        assert {file.name for file in path.iterdir()} == {"state.safetensors", "state.json", "manifest.json", REPLAY}
    assert checkpoint.load_checkpoint(kept[-1]).replay == {}


@pytest.mark.parametrize(("recipe", "parts"), [("pearl", {"encoder", "actor"}), ("rl2-sac", {"recurrent", "head"})])
def test_whoever_acts_does_not_need_it(small: Tiny, tmp_path: Path, recipe: str, parts: set[str]) -> None:
    run = train(small(recipe=recipe), quiet)
    (run / "checkpoints" / "00000004" / REPLAY).unlink()
    agent = meta_rl.load(run)
    assert agent.iteration == 4
    names = {name.partition(".")[0] for name in agent.weights.params}
    assert names == parts  # no critic, no temperature
    player = agent.player().adapt(lone(), steps=2, episodes=1)
    player.save(tmp_path / "player")
    folder = export(run, tmp_path / "agent")
    assert REPLAY not in {file.name for file in folder.rglob("*")}
    before, after = (each.player().play(lone(), seed=0) for each in (agent, meta_rl.load(folder)))
    assert torch.equal(torch.from_numpy(before.action), torch.from_numpy(after.action))


def test_a_run_that_goes_on_passes_over_a_damaged_one(small: Tiny) -> None:
    whole = train(small("whole"), quiet)
    cut = train(small("cut", iterations=3), quiet)
    file = cut / "checkpoints" / "00000003" / REPLAY
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(CheckpointWarning, match=r"00000003/replay\.safetensors: \d+ bytes"):
        train(small("cut"), quiet)
    assert_same_run(whole, cut)
    newest = cut / "checkpoints" / "00000004"
    (newest / REPLAY).unlink()
    with pytest.raises(CheckpointError, match="replay"):
        checkpoint.load_checkpoint(newest, replay=True)


def test_a_run_says_how_much_memory_its_replay_may_take(small: Tiny) -> None:
    said: list[str] = []
    train(small(iterations=1), said.append)
    # 7 tasks x (300 steps + 200 of the context); 32 bytes each: 2 + 2 + 1 + 2 + 1 numbers.
    assert said[3] == "the replay grows to 3,500 env steps at most: 0 MB of memory, and of every checkpoint"
    train(small("other", "rl2-sac", iterations=1, **{"algorithm.replay_size": 150_100}), said.append)
    # 750 trials of 200 steps; 24 bytes each: 2 + 2 + 1 + 1 numbers.
    assert "the replay grows to 150,000 env steps at most: 4 MB of memory, and of every checkpoint" in said


def test_one_that_does_not_fit_is_refused_before_any_work(small: Tiny) -> None:
    config = small(**{"algorithm.replay_tasks": 10**9, "algorithm.replay_size": 10**6})
    with pytest.raises(ConfigError, match=r"^--replay-size: a replay of [\d,]+ env steps takes [\d,.]+ GB") as refused:
        train(config, quiet)
    assert "valid: at most" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not config.path.exists()


def test_a_run_can_begin_with_an_agent_and_its_replay_is_empty_then(small: Tiny) -> None:
    first = train(small("first", iterations=2), quiet)
    second = train(small("second", iterations=1, start_from=str(first), seed=3), quiet)
    assert [row["replay/tasks"] for row in read_rows(second / "metrics.jsonl")] == [3]


def unbounded(split: str) -> Navigation:
    """Tasks whose actions have no bounds."""
    made = Navigation(split)
    made.action_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    return made


def pictures(split: str) -> Navigation:
    """Tasks that are seen in pictures."""
    made = Navigation(split)
    made.observation_space = gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    return made


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--env navigation --replay-size 50", ["--replay-size", "at least --batch-size, 64", "got 50"]),
        ("--env navigation --context-size 0", ["--context-size", "at least 1"]),
        ("--env navigation --context-size 201", ["--context-size: 201", "at most 200 of a task", "valid: 1 to 200"]),
        ("--env navigation --learners 5", ["--learners", "pearl updates in one process", "valid: 1"]),
        ("--env navigation --latent-size 0", ["--latent-size", "at least 1"]),
        ("--env navigation --target-rate 1.5", ["--target-rate", "between 0 and 1"]),
        ("--env navigation --temperature 0", ["--temperature", "above 0"]),
        ("--env bandit/k5-n10", ["recipe: pearl squashes actions into a box", "Discrete(5)"]),
        ("--env tests.meta_rl.training.test_replay_runs:unbounded", ["recipe: pearl squashes actions between bounds"]),
        ("--env tests.meta_rl.training.test_replay_runs:pictures", ["--env", "observation_space must be flat"]),
    ],
)
def test_impossible_settings_are_refused_in_one_line(
    options: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuses("pearl", options, words, tmp_path, capsys)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--replay-size 6399", ["--replay-size: 6399", "16 trials", "of up to 400 env steps", "valid: at least 6400"]),
        ("--burn-in 50 --chunk 400", ["--burn-in: 50", "a whole trial of at most 400", "valid: None"]),
        ("--burn-in -1", ["--burn-in", "at least 0, or None", "got -1"]),
        ("--chunk 0", ["--chunk", "at least 1"]),
        ("--update-trials 0", ["--update-trials", "at least 1"]),
        ("--critic-hidden", ["--critic-hidden", "at least one hidden layer"]),
        ("--hidden", ["--hidden", "at least one layer, its cell"]),
        ("--memory-gradient actor", ["--memory-gradient", "'critics', 'both'"]),
        ("--epochs 3", ["--epochs", "not an option of rl2-sac"]),
        ("--cell transformer --attention-heads 3", ["--attention-heads", "cannot share 64 units"]),
        ("--learners 5", ["--learners", "rl2-sac updates in one process", "valid: 1"]),
        ("--env bandit/k5-n10", ["recipe: rl2-sac squashes actions into a box", "Discrete(5)"]),
        ("--env tests.meta_rl.training.test_replay_runs:unbounded", ["recipe: rl2-sac squashes actions between"]),
    ],
)
def test_impossible_settings_of_trials_are_refused_in_one_line(
    options: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = "" if "--env" in options else "--env navigation"
    refuses("rl2-sac", f"{env} {options}", words, tmp_path, capsys)


def refuses(recipe: str, options: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", recipe, *options.split(), "--run-dir", str(tmp_path / "run")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert all(word in said for word in words), said
    assert not (tmp_path / "run").exists()
