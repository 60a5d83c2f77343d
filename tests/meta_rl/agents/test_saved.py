"""A player that was saved goes on as the one that was not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import meta_rl
from meta_rl.agents.agent import Agent
from meta_rl.agents.player import Player
from meta_rl.agents.saved import with_leaves
from meta_rl.errors import ConfigError
from meta_rl.handover.export import export
from meta_rl.runs.durable import CheckpointError
from meta_rl.training.train import train
from tests.meta_rl.agents.test_player import agent_for, by_hand
from tests.meta_rl.agents.test_practised import lone
from tests.meta_rl.untrained import untrained


def practised(agent: Agent, env: gym.Env[Any, Any]) -> Player:
    return agent.player(seed=4).adapt(env, steps=2, episodes=1, keep_if="not-worse", judge_episodes=2)


@pytest.mark.parametrize(
    "recipe", ["maml-trpo", "reptile", "rl2", "rl2-sac", "rma", "varibad", "metasgd-trpo", "pearl", "random"]
)
def test_a_saved_player_goes_on_as_it_was(recipe: str, tmp_path: Path) -> None:
    agent = untrained(recipe, "navigation", {"network.hidden": (8,), "env_options.horizon": 5})
    env = lone()
    player = practised(agent, env)
    if player.practice and not player.practice.kept:
        player.adapt(env, steps=1, episodes=1)
    assert player.save(tmp_path / "mine") == tmp_path / "mine"
    found = meta_rl.load_player(tmp_path / "mine")
    assert found.practice == player.practice
    for _ in range(2):  # as adapted, and after more of it
        np.testing.assert_array_equal(by_hand(found, env, 0), by_hand(player, env, 0))
        np.testing.assert_array_equal(found.play(env).action, player.play(env).action)
        for one in (found, player):
            one.adapt(env, steps=1, episodes=2)
    before = meta_rl.load(tmp_path / "mine")
    assert all(torch.equal(p, agent.weights.params[name]) for name, p in before.weights.params.items())
    found.save(tmp_path / "mine")  # over itself
    found.reset()
    again = meta_rl.load_player(tmp_path / "mine")
    np.testing.assert_array_equal(by_hand(again, env, 1), by_hand(found, env, 1))


def test_it_is_an_agent_with_two_files_more_that_an_export_takes_away(tmp_path: Path, tiny: Any) -> None:
    run = train(tiny(iterations=1, run_dir=str(tmp_path / "run")))
    folder = meta_rl.load(run).player().adapt(lone(), steps=1, episodes=1, horizon=5).save(tmp_path / "mine")
    files = {"model.safetensors", "config.json", "agent.json", "player.safetensors", "player.json"}
    assert {p.name for p in folder.iterdir()} == files
    assert meta_rl.load(folder).about["torch"] == torch.__version__
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in folder.iterdir())
    export(run, folder)
    assert not (folder / "player.json").exists()
    with pytest.raises(ConfigError, match=r"holds no saved player \(no player.json\)"):
        meta_rl.load_player(folder)
    with pytest.raises(ConfigError, match=r"^.* exists and is not a saved player; choose another folder$"):
        meta_rl.load(run).player().save(folder)


def test_what_is_damaged_or_of_another_agent_is_said_in_a_line(tmp_path: Path) -> None:
    folder = practised(agent_for("rl2", "navigation"), lone()).save(tmp_path / "mine")
    other = practised(agent_for("maml-trpo", "navigation"), lone()).save(tmp_path / "other")
    sound = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(sound["player.json"])
    tensors = bytearray(sound["player.safetensors"])
    tensors[-1] ^= 1
    for name, contents, said in [
        ("player.safetensors", bytes(tensors), "contents do not match their sha256"),
        ("player.safetensors", b"", "0 bytes, the manifest says"),
        ("player.json", b"[]", "unreadable"),
        ("player.json", json.dumps(manifest | {"schema": 7}).encode(), "schema 7, this version reads schema 1"),
        ("player.json", (other / "player.json").read_bytes(), "it is of another agent than the one beside it"),
        ("model.safetensors", sound["model.safetensors"][:-1], "model.safetensors: "),
    ]:
        (folder / name).write_bytes(contents)
        with pytest.raises(CheckpointError, match=said) as caught:
            meta_rl.load_player(folder)
        assert "\n" not in str(caught.value)
        (folder / name).write_bytes(sound[name])
    (folder / "player.safetensors").unlink()
    with pytest.raises(CheckpointError, match="unreadable"):
        meta_rl.load_player(folder)
    player = agent_for("maml-trpo", "navigation").player()
    for leaves, said in (
        ({".x": 1}, "it has .x"),
        ({".params['mean.0.bias']": torch.zeros(3)}, "torch.float32 [3], not"),
    ):
        with pytest.raises(ValueError, match=f"^the player is of another agent: .*{re.escape(said)}"):
            with_leaves(leaves, player._fresh())
