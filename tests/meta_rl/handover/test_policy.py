"""An exported policy acts as its player does, where neither torch nor this software is there."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import envs
from meta_rl import load
from meta_rl.agents.agent import Agent
from meta_rl.cli import main
from meta_rl.config import default_config, replace_paths
from meta_rl.core.interface import Interface
from meta_rl.errors import ConfigError, RunError
from meta_rl.handover import formats
from meta_rl.handover.formats import BESIDE, KEY, POLICY_FORMATS
from meta_rl.handover.graph import graph_of
from meta_rl.handover.policy import write_policy
from meta_rl.handover.policy_card import ONNX_LOOP
from meta_rl.training.train import train
from tests.meta_rl.agents.test_module import PLANE, SEEN, agent_for, other_weights
from tests.meta_rl.agents.test_player import Lone
from tests.meta_rl.agents.test_practised import lone
from tests.meta_rl.untrained import untrained

PAGE = Path(__file__).parents[3] / "docs" / "deploying.md"
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")),
    reason="the extra onnx is not installed",
)
IMAGES = gym.spaces.Box(0, 1, (1, 8, 8))
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "maml": ("maml-trpo", "navigation", {"normalise_observations": True}),
    "reptile": ("reptile", "classic/cartpole", {}),
    "lstm": ("rl2", "navigation", {"recall_observation": True, "clock_steps": 10, "normalise_observations": True}),
    "gru": ("rl2", "classic/cartpole", {"cell": "gru", "head_hidden": (4,)}),
    "transformer": ("rl2", "navigation", {"cell": "transformer", "attention_window": 30}),
    # Small: large random weights on the previous action would make the next one larger, and what rounding did too.
    "rma": (
        "rma",
        "navigation",
        {"normalise_observations": True, "head_hidden": (4,), "activation": "tanh"},
    ),
    "rma of choices": ("rma", "classic/cartpole", {"cell": "gru"}),
    "latent": ("pearl", "navigation", {"normalise_observations": True, "encoder_hidden": (5,)}),
    "squashed": ("rl2-sac", "navigation", {"normalise_observations": True, "cell": "transformer"}),
    "belief": ("varibad", "navigation", {"normalise_observations": True, "head_hidden": (4,)}),
}
ALONE = """
import json, os, sys
import numpy as np

class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "meta_rl", "envs", "onnx"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())

class Recorded:
    def __init__(self, folder):
        self.told = {name: iter(array) for name, array in np.load(f"{folder}/recorded.npz").items()}
        self.actions = []
    def reset(self):
        return next(self.told["first"]), {}
    def step(self, action):
        self.actions.append(action)
        return *(next(self.told[name]) for name in ("observation", "reward", "terminated", "truncated")), {}

code = sys.stdin.read()
for folder in sys.argv[1:]:
    env = Recorded(folder)
    os.chdir(folder)
    exec(code, {"env": env})
    np.save("actions.npy", env.actions)
assert not {"torch", "meta_rl"} & {*sys.modules}
"""


def play_and_record(agent: Agent, env: str, folder: Path, player: Any = None) -> np.ndarray:
    """Ten episodes of a player, whose memory lasts; the environment's side as a file, the actions as they were."""
    distribution = envs.make(env, horizon=15)
    lone = Lone(distribution, distribution.sample(np.random.default_rng(0), 1)[0])
    told: dict[str, list[Any]] = {name: [] for name in ("first", "observation", "reward", "terminated", "truncated")}
    actions = []
    player = player or agent.player()
    for episode in range(10):
        observation, _ = lone.reset(seed=episode)
        told["first"].append(observation)
        done = False
        while not done:
            actions.append(player.act(observation))
            observation, reward, terminated, truncated, _ = lone.step(actions[-1])
            for name, value in zip(list(told)[1:], (observation, reward, terminated, truncated), strict=True):
                told[name].append(value)
            done = terminated or truncated
            player.observe(reward, done)
    np.savez(folder / "recorded.npz", **{name: np.array(values) for name, values in told.items()})
    return np.array(actions)


def agent_with(recipe: str, env: str, network: dict[str, Any]) -> Agent:
    """An agent with weights that make it act, and statistics of observations where it normalises them."""
    agent = untrained(recipe, env, {f"network.{name}": value for name, value in ({"hidden": (8,)} | network).items()})
    size = agent.interface.observation_space.shape[0] if network.get("normalise_observations") else 0  # type: ignore[index]
    return Agent(agent.config, agent.learner, other_weights(agent.learner, size), 3, 40, agent.interface, {"x": [1]})


@needs_onnx
def test_the_code_of_the_page_acts_as_the_player_does_without_torch(tmp_path: Path) -> None:
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "env.step" in block
    )
    assert code == ONNX_LOOP  # the cards have it too
    expected = {}
    for name, (recipe, env, network) in CASES.items():
        agent = agent_with(recipe, env, network)
        folder = write_policy(agent, tmp_path / name, "onnx")
        expected[name] = play_and_record(agent, env, folder)
    folders = [str(tmp_path / name) for name in CASES]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *folders],
        input=code,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    for name, actions in expected.items():
        found = np.load(tmp_path / name / "actions.npy")
        assert len(found) == len(actions) >= 10
        assert len(np.unique(actions)) > 1
        assert found.dtype.kind == ("i" if CASES[name][1] == "classic/cartpole" else "f")
        # Random weights in deeper heads carry rounding on from step to step.
        within = 1e-5 if name in ("rma", "belief") else 1e-6
        np.testing.assert_allclose(found, actions, rtol=within, atol=within, err_msg=name)
    card = (tmp_path / "gru" / "README.md").read_text()
    assert ONNX_LOOP.strip() in card
    model = (tmp_path / "lstm" / "policy.onnx").read_bytes()
    assert str(PAGE.parents[1]).encode() not in model  # nothing of this machine
    session = importlib.import_module("onnxruntime").InferenceSession(model)
    assert session.get_inputs()[0].shape == ["batch", 2]
    about = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    assert (about["recipe"], about["env"], about["iteration"], about["tasks"]) == ("rl2", "navigation", 3, {"x": [1]})
    assert len(about["memory"]) == sum(about["memory_parts"].values())


@pytest.mark.parametrize(
    ("recipe", "action"),
    [*itertools.product(("maml-trpo", "rl2", "varibad"), ("box", "discrete")), ("rl2-sac", "box")],
)
def test_an_exported_program_answers_batches_of_any_size(recipe: str, action: str, tmp_path: Path) -> None:
    agent = agent_for(recipe, True, action)
    folder = write_policy(agent, tmp_path / "out", "pt2")
    files = {BESIDE: ""}
    torch.export.load(folder / "policy.pt2", extra_files=files)
    about = json.loads(files[BESIDE])
    assert Interface.from_dict(about) == agent.interface
    assert (folder / "policy.pt2").read_bytes().count(str(PAGE.parents[1]).encode()) == 0
    run, rng = formats.run_pt2((folder / "policy.pt2").read_bytes()), np.random.default_rng(1)
    seen = rng.normal(0, 5, (2, 3, 2)).astype(np.float32)
    given = [
        {"reward": np.array(r, np.float32), "done": np.array(d)}
        for r, d in (([0] * 3, [False] * 3), ([1, 2, -1], [False, True, False]))
    ]
    memory = np.array([about["memory"]] * 3, np.float32)
    found = []
    for step in range(2):
        every = given[step] | {"observation": seen[step], "memory": memory}
        actions, *memories = run({name: every[name] for name in about["inputs"]})
        memory = memories[0] if memories else memory
        found.append(actions)
    for row in range(3):
        player = agent.player()
        np.testing.assert_allclose(player.act(seen[0, row]), found[0][row], rtol=1e-5)
        player.observe(given[1]["reward"][row], given[1]["done"][row])
        np.testing.assert_allclose(player.act(seen[1, row]), found[1][row], rtol=1e-5)


@pytest.mark.parametrize("recipe", ["reptile", "rl2", "rl2-sac", "pearl", "varibad"])
def test_an_adapted_policy_is_that_of_its_player(
    recipe: str, tmp_path: Path, tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"recipe": recipe, "env": "navigation", "iterations": 0, "network.hidden": (4,), "meta_batch_size": 2}
    config = replace_paths(default_config(recipe, "navigation"), changes)
    runs = [train(replace_paths(config, {"seed": seed, "run_dir": str(tmp_path / f"r{seed}")})) for seed in (0, 1)]
    player = load(runs[0]).player()
    player.adapt(lone(), steps=1, episodes=2, horizon=5, keep_if="not-worse", judge_episodes=2).adapt(
        lone(), steps=1, episodes=1, horizon=5
    )
    folder = player.save(tmp_path / "mine")
    capsys.readouterr()
    assert (
        main(["export", str(runs[0]), "--adapted", str(folder), "--format", "pt2", "--out", str(tmp_path / "a")]) == 0
    )
    assert (
        main(["export", str(folder), "--adapted", str(folder), "--format", "pt2"]) == 0
    )  # the agent in it is the same
    assert main(["export", str(folder), "--format", "pt2", "--out", str(tmp_path / "b")]) == 0  # before adaptation
    first = []
    for exported in (tmp_path / "a", folder / "results" / "export-pt2", tmp_path / "b"):
        about = json.loads((exported / "policy.json").read_bytes())
        every = {"observation": SEEN[:1], "reward": np.zeros(1, np.float32), "done": np.zeros(1, bool)}
        every["memory"] = np.array([about["memory"]], np.float32)
        run = formats.run_pt2((exported / "policy.pt2").read_bytes())
        first.append(run({name: every[name] for name in about["inputs"]})[0][0])
    np.testing.assert_allclose(first[:2], [player.act(SEEN[0])] * 2, rtol=1e-5)
    np.testing.assert_allclose(first[2], load(runs[0]).player().act(SEEN[0]), rtol=1e-5)
    assert not np.allclose(first[0], first[2], rtol=1e-4)
    assert "Its last practice: 1 adaptation" in (tmp_path / "a" / "README.md").read_text()
    capsys.readouterr()
    for words, said in {
        f"{runs[1]} --adapted {folder} --format pt2": f"--adapted: {folder} is of another agent than {runs[1]}",
        f"{runs[0]} --adapted {runs[0]} --format pt2": f"--adapted: {runs[0]} holds no saved player (no player.json)",
        f"{runs[0]} --adapted {folder}": "--adapted: for --format onnx or pt2",
    }.items():
        assert main(["export", *words.split()]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert said in line


def test_a_policy_that_acts_on_rewards_is_one_graph_too(tmp_path: Path) -> None:
    changes = {"network.hidden": (8,), "algorithm.reward_coef": 0.5, "algorithm.act_on_rewards": True}
    agent = untrained("rl2", "bandit/k5-n10", changes)
    agent = Agent(agent.config, agent.learner, other_weights(agent.learner), 0, 0, agent.interface)
    write_policy(agent, tmp_path / "out", "pt2")  # which checks itself


@pytest.mark.parametrize(
    ("recipe", "env"), [("maml", "sinusoid-5shot"), ("reptile-supervised", "synthetic-ratings-5shot")]
)
def test_a_few_shot_learner_exports_its_network(recipe: str, env: str, tmp_path: Path) -> None:
    run = train(replace_paths(default_config(recipe, env), {
        "iterations": 1, "meta_batch_size": 2, "network.hidden": (4,), "run_dir": str(tmp_path / "r")}))  # fmt: skip
    assert main(["export", str(run), "--format", "pt2"]) == 0
    folder = run / "export-pt2"
    assert "answer = policy(observation)" in (folder / "README.md").read_text()
    assert json.loads((folder / "policy.json").read_bytes())["parity"]["difference"] < 1e-5


@pytest.mark.parametrize(
    ("recipe", "observation", "said"),
    [
        ("random", PLANE, "--format: random has no network to export; valid: agent"),
        ("prototypical", IMAGES, "--format: prototypical answers by comparing embeddings"),
        ("maml", IMAGES, r"--format: this maml normalises over its batch \(--norm batch\)"),
    ],
)
def test_what_is_no_graph_of_one_input_is_refused_in_a_line(
    recipe: str, observation: gym.Space[Any], said: str, tmp_path: Path
) -> None:
    agent = agent_for(recipe, observation=observation)
    with pytest.raises(ConfigError, match=f"^{said}") as caught:
        write_policy(agent, tmp_path / "out", "pt2")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_policy_that_would_act_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, right = agent_for("maml-trpo"), POLICY_FORMATS["pt2"]

    def run_wrongly(contents: bytes) -> Any:
        run = right.run(contents)
        return lambda given: [part + 2e-4 for part in run(given)]

    monkeypatch.setitem(POLICY_FORMATS, "pt2", right._replace(run=run_wrongly))
    with pytest.raises(
        RunError, match=r"^--format: the exported policy differs from its player by .* nothing was written$"
    ):
        write_policy(agent, tmp_path / "out", "pt2")
    assert not (tmp_path / "out").exists()


def test_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tiny: Any
) -> None:
    run = train(tiny(iterations=1))
    capsys.readouterr()
    for _ in range(2):  # again: over itself
        assert main(["export", str(run), "--format", "pt2"]) == 0
        assert f"policy: {run / 'export-pt2' / 'policy.pt2'}" in capsys.readouterr().out
    assert {p.name for p in (run / "export-pt2").iterdir()} == {"policy.pt2", "policy.json", "README.md"}
    assert main(["export", str(run), "--format", "pt2", "--iteration", "1", "--out", str(tmp_path / "new")]) == 0
    capsys.readouterr()
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "onnxscript" else find(name, *more)
    )
    for arguments, parts in {
        "--format onnx": ["--format onnx: needs onnx; install it with: pip install 'meta-rl[onnx]'"],
        "--format onx": ["'agent', 'onnx', 'pt2'", "closest: onnx"],
        f"--format pt2 --out {run}": ["--out: ", "is not an exported policy; choose another folder"],
        "--format pt2 --push-to-hub a/b": ["--push-to-hub: for --format agent"],
        "--format pt2 --replay x.mp4": ["--replay: for --format agent"],
    }.items():
        assert main(["export", str(run), *arguments.split()]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert all(part in line for part in parts), line
    with pytest.raises(ConfigError, match=r"^format: unknown 'jit'; valid: onnx, pt2$"):
        write_policy(agent_for("maml-trpo"), tmp_path / "x", "jit")


def test_the_file_of_an_adapted_policy_is_the_students_alone(tmp_path: Path) -> None:
    """What the teacher was told is no input, and its encoder is not in there."""
    agent = agent_with("rma", "navigation", {"head_hidden": (4,), "activation": "tanh"})
    folder = write_policy(agent, tmp_path / "policy", "pt2")
    program = torch.export.load(folder / "policy.pt2")
    names = {name.rpartition("policy.")[2].partition(".")[0] for name in program.state_dict if "policy." in name}
    assert {"recurrent", "latent", "head"} <= names
    assert "task" not in names
    assert len(graph_of(agent).inputs) == 4  # observation, reward, done and memory, as RL2's
    sizes = [tuple(p.shape) for p in program.state_dict.values()]
    assert tuple(agent.weights.shared["task.0.weight"].shape) == (64, 2)
    assert (64, 2) not in sizes
