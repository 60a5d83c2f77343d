"""A robot's skill, from an expert's demonstrations to a file that runs without this software
(docs/robot-skill-adaptation.md).

``python scripts/skill_adaptation.py --small``: within fifteen minutes on two cores. Without it, the full setting;
options of either follow: ``--env metaworld/ml1-door-open-v3+dynamics --seeds 3``. Interrupted, its training goes on
where it was.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from envs import UnknownNameError
from meta_rl.cli.parsing import parse_options
from meta_rl.config import RECIPES, check_choice, check_ranges, make_distribution, validate
from meta_rl.errors import ConfigError
from meta_rl.studies.skill import TEACHER, SkillConfig

if TYPE_CHECKING:
    import gymnasium as gym

    from meta_rl.agents.agent import Agent

SMALL = SkillConfig(recipe=TEACHER, iterations=0, shown_iterations=60, tuning_iterations=10, out="runs/skill-small")
SEED = 0
"""Seed of the episode that the exported policy and its player both play."""


def parse(arguments: list[str]) -> SkillConfig:
    """The checked options.

    Raises:
        ConfigError: anything wrong with them.
    """
    default = SMALL if "--small" in arguments else SkillConfig()
    options = [argument for argument in arguments if argument != "--small"]
    config = parse_options(SkillConfig, default, options, "skill_adaptation.py", __doc__)
    check_ranges(config)
    check_choice("--recipe", config.recipe, [name for name, recipe in RECIPES.items() if recipe.learns == "rl"])
    if not config.iterations and not config.shown_iterations:
        raise ConfigError("--iterations: nothing is trained; valid: at least 1, or --shown-iterations at least 1")
    runs = config.runs(0)
    if len(runs) > 1 and not runs[-1].algorithm.remembers:
        raise ConfigError(f"--recipe: {config.recipe} has no memory and cannot begin with the expert's student; valid: "
                          "rl2, or --shown-iterations 0")  # fmt: skip
    for run in runs:
        validate(run)
    from meta_rl.core.interface import Interface
    from meta_rl.runs.problem import open_problem
    from meta_rl.runs.recorded import differing_interfaces

    learned = open_problem(runs[0]).interface
    world = make_distribution(replace(runs[-1], env=config.world or config.env))
    if changes := list(differing_interfaces(learned, Interface.of(world))):
        raise ConfigError(f"--world: {config.world} does not fit {config.env}: {'; '.join(changes)}")
    return config


def trained(config: SkillConfig) -> list[Path]:
    """Train the agents, one after another, and hand each over for the other world; their folders."""
    from meta_rl.handover.export import export
    from meta_rl.training.train import train

    folders = []
    for seed in range(config.seeds):
        runs = [train(run) for run in config.runs(seed)]
        folders.append(export(runs[-1], Path(config.out) / f"agent_s{seed}", tasks=config.world or config.env))
    return folders


class Deployed(NamedTuple):
    """The adapted policy as a file, beside its player: the return of an episode from the same start."""

    player: float
    file: float
    steps: int
    microseconds: float
    """Median of a call."""

    def __str__(self) -> str:
        return (
            f"the exported policy returned {self.file:.2f} in {self.steps} steps, its player {self.player:.2f}; "
            f"{self.microseconds:.0f} us a step"
        )


def deploy(agent: Agent, out: Path) -> Deployed:
    """Adapt to the first new task, save the player, export its policy as ONNX, and run that with numpy alone.

    Raises:
        ConfigError: the extra onnx is not installed, or the agent has no network to export.
    """
    from meta_rl.agents.opening import open_distribution
    from meta_rl.agents.task_env import TaskEnv
    from meta_rl.evaluation.episodes import test_tasks
    from meta_rl.handover.policy import write_policy

    distribution, protocol = open_distribution(agent, "test"), agent.config.evaluate
    env = TaskEnv(distribution, test_tasks(distribution, protocol.test_tasks, protocol.evaluation_seed)[0])
    player = agent.player()
    try:
        player.adapt(env)
        player.save(out / "player")
        write_policy(agent, out / "policy", "onnx", player)
        player.reset()
        rollout = player.play(env, seed=SEED)
        by_file, microseconds = play_file(out / "policy" / "policy.onnx", env)
    finally:
        env.close()
    return Deployed(float(rollout.reward.sum()), sum(by_file), len(by_file), microseconds)


def play_file(path: Path, env: gym.Env[Any, Any]) -> tuple[list[float], float]:
    """Rewards of an episode that an exported policy plays with onnxruntime and numpy alone, and the median microseconds
    of a call (docs/deploying.md)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    about = json.loads(session.get_modelmeta().custom_metadata_map["meta_rl"])
    names = [value.name for value in session.get_inputs()]
    memory, reward, done = np.array([about["memory"]], np.float32), 0.0, False
    observation, _ = env.reset(seed=SEED)
    rewards: list[float] = []
    seconds: list[float] = []
    while not done and len(rewards) < about["horizon"]:
        given = {"observation": np.asarray(observation, np.float32)[None], "memory": memory}
        given |= {"reward": np.array([reward], np.float32), "done": np.array([done])}
        started = time.perf_counter()
        action, *memories = session.run(None, {name: given[name] for name in names})
        seconds.append(time.perf_counter() - started)
        memory = memories[0] if memories else memory
        observation, reward, terminated, truncated, _ = env.step(action[0])
        done = terminated or truncated
        rewards.append(reward)
    return rewards, 1e6 * float(np.median(seconds))


def tour(config: SkillConfig, command: str) -> None:
    """Train, take to the other world, compare, show, export, run."""
    import meta_rl
    from envs import NoDisplayError
    from meta_rl.cli.showing import evaluate_with_page, render_run
    from meta_rl.studies.skill import skill_summary, skill_table, take_along, write_skill
    from meta_rl.visualise.options import RenderConfig

    folders, out = trained(config), Path(config.out)
    agents = [meta_rl.load(folder) for folder in folders]
    taken = [take_along(agent, config, seed) for seed, agent in enumerate(agents)]
    summary = skill_summary(agents, taken, config)
    write_skill(summary, out / "skill", command)
    evaluate_with_page(folders[0], agents[0].config.evaluate)
    try:
        render_run(folders[0], RenderConfig(out=str(out / "adaptation.mp4")))
    except (ConfigError, NoDisplayError) as error:
        print(f"no video: {error}")
    try:
        print(deploy(agents[0], out))
    except ConfigError as error:
        print(f"no exported policy: {error}")
    print(skill_table(summary))
    print(f"table: {out}/skill.md, curves: {out}/skill.json, picture: {out}/skill.png")


def main(arguments: list[str]) -> None:
    """Check the options and go."""
    try:
        tour(parse(arguments), shlex.join(["python", "scripts/skill_adaptation.py", *arguments]))
    except (ConfigError, UnknownNameError) as error:
        print(f"skill_adaptation.py: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
