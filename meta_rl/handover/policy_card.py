"""The card of an exported policy: what it is, what goes in and comes out, how to run it."""

from __future__ import annotations

from meta_rl.agents.agent import Agent
from meta_rl.agents.practised import Practised
from meta_rl.config import RECIPES
from meta_rl.evaluation.words import counted
from meta_rl.handover.formats import Format
from meta_rl.handover.graph import Graph
from meta_rl.handover.parity import Parity

ONNX_LOOP = """import json

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # the fastest for networks of this size
session = onnxruntime.InferenceSession("policy.onnx", options)
about = json.loads(session.get_modelmeta().custom_metadata_map["meta_rl"])
names = [value.name for value in session.get_inputs()]  # a policy without a memory reads observations alone
memory, reward, done = np.array([about["memory"]], np.float32), 0.0, False
for episode in range(10):
    observation, _ = env.reset()
    while True:
        given = {"observation": np.asarray(observation, np.float32)[None], "memory": memory}
        given |= {"reward": np.array([reward], np.float32), "done": np.array([done])}  # what followed the last action
        action, *next_memory = session.run(None, {name: given[name] for name in names})
        memory = next_memory[0] if next_memory else memory
        observation, reward, terminated, truncated, _ = env.step(action[0])
        done = terminated or truncated
        if done:
            break
"""
ONNX_ANSWERS = """import onnxruntime

session = onnxruntime.InferenceSession("policy.onnx")
(answers,) = session.run(None, {"observation": inputs})  # of one class each the scores, or a number
"""
PT2_STEP = """import json

import torch

files = {"meta_rl.json": ""}
policy = torch.export.load("policy.pt2", extra_files=files).module()
about = json.loads(files["meta_rl.json"])
OUTPUTS = policy(INPUTS)  # a tensor each, on the first axis a batch
"""


def code_for(graph: Graph, kind: Format) -> str:
    """The code that runs `graph` from a file of `kind`."""
    if kind.file.endswith(".pt2"):
        return PT2_STEP.replace("OUTPUTS", ", ".join(graph.outputs)).replace("INPUTS", ", ".join(graph.inputs))
    return ONNX_LOOP if "action" in graph.outputs else ONNX_ANSWERS


def policy_card(agent: Agent, graph: Graph, kind: Format, parity: Parity, size: int) -> str:
    """The card in Markdown.

    Args:
        size: of the file, in bytes.
    """
    config, recipe = agent.config, RECIPES[agent.config.recipe]
    lines = [
        f"# {config.recipe} on {config.env}, as {kind.title}",
        "",
        f"A meta-learned policy: {recipe.summary}. Trained for {counted(agent.iteration, 'iteration')}, "
        f"{counted(agent.env_steps, 'env step')}, seed {config.seed}. {_state(graph)}",
        "",
        "| | |",
        "|---|---|",
        f"| file | `{kind.file}` |",
        f"| size | {size:,} bytes |",
        f"| latency of a step | {parity.latency_us:.0f} us: the median on the machine that exported it "
        f"({parity.machine}), one thread, one observation |",
        f"| largest difference from the player | {parity.difference:.1g} in {parity.steps} random steps |",
        *(f"| input `{name}` | {_form(form)} |" for name, form in graph.about["inputs"].items()),
        f"| outputs | {', '.join(f'`{name}`' for name in graph.outputs)} |",
        "",
        "The first axis of every input and output is that of a batch, of any size. Observations are given as the "
        "environment has them. What else the file says of itself (spaces, horizon, tasks, the memory to begin with) is "
        "in its metadata and in `policy.json`.",
        "",
        "## Run it",
        "",
        "```python",
        code_for(graph, kind).rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _state(graph: Graph) -> str:
    if "answer" in graph.outputs:
        return "It is the network before adaptation."
    practice = graph.about["practice"]
    said = f"Its last practice: {Practised.from_dict(practice)}." if practice else "It is the policy before adaptation."
    return said + (" It has a memory, with which it goes on learning while it acts." if graph.memory else "")


def _form(form: dict[str, object]) -> str:
    shape = form["shape"]
    assert isinstance(shape, list)
    return f"{form['dtype']} [{', '.join(['n', *map(str, shape)])}]"
