"""The card of an exported agent: what it is, how good it is, how to load it; with metadata that the Hub reads."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from meta_rl.agents.bundle import Bundle
from meta_rl.config import RECIPES, TrainConfig, about_tasks
from meta_rl.evaluation.record import Files
from meta_rl.evaluation.scores import Record
from meta_rl.evaluation.words import counted
from meta_rl.runs.recorded import learned_on

ACTING = """import meta_rl

player = meta_rl.load("FOLDER").player()
player.adapt(env)  # env: a gymnasium.Env; practises there, then learns from what happened
observation, _ = env.reset()
done = False
while not done:
    observation, reward, terminated, truncated, _ = env.step(player.act(observation))
    done = terminated or truncated
    player.observe(reward, done)"""
PREDICTING = """import meta_rl

predictor = meta_rl.load("FOLDER").predictor()
predictor.adapt(support, labels)  # a few arrays, pictures or ids of items, and what they are
answers = predictor.predict(queries)"""
DOWNLOAD = """from huggingface_hub import snapshot_download

folder = snapshot_download("{name}")

"""


def model_card(
    run_dir: Path,
    config: TrainConfig,
    agent: Bundle,
    evaluated: tuple[Files, Record] | None,
    replay: str,
    name: str,
) -> str:
    """The card in Markdown.

    Args:
        evaluated: an evaluation of this very agent, if there is one: where it is, and its contents.
        replay: name of the file that shows the agent; empty: none.
        name: of the repository on the Hub; empty: none.
    """
    lines = [
        "---",
        *metadata(config, evaluated[1] if evaluated else None),
        "---",
        "",
        f"# {config.recipe} on {config.env}",
        "",
        *([tasks, ""] if (tasks := about_tasks(config)) else []),
        *([f"It learned from other tasks, {others}.", ""] if (others := learned_on(agent.about)) else []),
        f"A meta-learned agent: {RECIPES[config.recipe].summary}. Trained for {counted(agent.iteration, 'iteration')}, "
        f"{counted(agent.env_steps, 'env step')}, seed {config.seed}. What a task is, is in `agent.json`; every "
        "option is in `config.json`.",
        *([_show(replay)] if replay else []),
        "",
        "## Load it",
        "",
        "```python",
        loading(config, name, evaluated[1] if evaluated else None),
        "```",
        "",
        "## Results",
        "",
        _results(run_dir, evaluated[0].report) if evaluated else "Not evaluated.",
    ]
    return "\n".join(lines)


def loading(config: TrainConfig, name: str, record: Record | None = None) -> str:
    """The code that loads the agent and uses it as `record` did, from the repository `name` on the Hub or, if it is
    empty, a folder."""
    code = as_evaluated({"rl": ACTING}.get(RECIPES[config.recipe].learns, PREDICTING), config, record)
    return downloading(code, name) if name else code


def downloading(code: str, name: str) -> str:
    """Code, or a card with code, that loads the agent from the repository `name` and not from a folder."""
    return re.sub(
        r'import meta_rl\n\n(\w+ = meta_rl\.load\()"FOLDER"',
        lambda found: f"{DOWNLOAD.format(name=name)}import meta_rl\n\n{found[1]}folder",
        code,
    )


def addressed(card: str, name: str) -> str:
    """A card for the repository `name`: its code gets the agent from there. Whatever else was written on it stays."""
    return re.sub(r'snapshot_download\("[^"]*"\)', f'snapshot_download("{name}")', downloading(card, name))


def as_evaluated(code: str, config: TrainConfig, record: Record | None) -> str:
    """`code`, with the steps and episodes of adaptation where those of an evaluation are not the run's own."""
    if record is None:
        return code
    asked, acts = {"steps": record.stages[-1].steps}, RECIPES[config.recipe].learns == "rl"
    if acts and not asked["steps"]:  # judged as it is
        return "\n".join(line for line in code.splitlines() if ".adapt(" not in line)
    own = {"steps": config.evaluate.adaptation_steps, "episodes": config.evaluate.adaptation_episodes}
    if acts:
        asked["episodes"] = record.protocol["adaptation_episodes"]
    arguments = "".join(f", {name}={value}" for name, value in asked.items() if value != own[name])
    return re.sub(r"(\.adapt\(.*?)\)", rf"\1{arguments})", code)


def metadata(config: TrainConfig, record: Record | None) -> list[str]:
    """The lines of YAML between the dashes. Values are written as JSON, which is YAML too."""
    tags = ["meta-rl", "meta-learning", "reinforcement-learning", config.recipe]
    if RECIPES[config.recipe].learns != "rl":
        tags.remove("reinforcement-learning")
    lines = ["library_name: meta-rl", f"tags: {json.dumps(tags)}"]
    if record is None:
        return lines
    last = record.stages[-1]
    entry = {
        "task": {"type": tags[2] if len(tags) > 3 else "few-shot-learning"},
        "dataset": {"type": config.env, "name": f"{config.env}, {record.tasks} {record.split} tasks"},
        "metrics": [
            {"type": name, "name": f"{name} after {last.steps} adaptation steps", "value": score.mean}
            for name, score in last.scores[record.headline].items()
            if name in record.names
        ],
    }
    index = [{"name": f"{config.recipe} on {config.env}", "results": [entry]}]
    return [*lines, f"model-index: {json.dumps(index)}"]


def _show(replay: str) -> str:
    return f"\n![before and after adaptation]({replay})" if replay.endswith(".mp4") else f"\n[Replay]({replay})"


def _results(run_dir: Path, report: Path) -> str:
    """A report of the run below its title, with the config found beside the card."""
    if not report.exists():
        return "Not evaluated."
    body = report.read_text().partition("\n")[2].strip()
    return body.replace(shlex.quote(str(run_dir / "config.json")), "config.json") + "\n"
