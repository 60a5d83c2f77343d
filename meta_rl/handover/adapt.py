"""``meta-rl adapt``: an agent adapted to one environment, saved as a player."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym

from meta_rl.agents.agent import Agent, load
from meta_rl.agents.opening import open_distribution
from meta_rl.agents.saved import check_player_out
from meta_rl.agents.task_env import TaskEnv
from meta_rl.errors import ConfigError, Say
from meta_rl.evaluation.episodes import test_tasks
from meta_rl.handover.options import AdaptConfig
from meta_rl.runs.folder import of_iteration, results_dir


def adapt_run(run_dir: Path, options: AdaptConfig, say: Say = print) -> Path:
    """Adapt the agent of a run, or an exported one, as the options say; returns the folder of the player.

    Raises:
        ConfigError: an option has no meaning here, or is out of bounds; naming it.
        RunError: the folder cannot be written.
    """
    default = of_iteration(results_dir(run_dir) / "player", options.iteration)
    out = Path(options.out) if options.out else default
    check_player_out(out, "--out:")
    agent = load(run_dir, options.iteration)
    player, env = agent.player(options.seed), open_env(agent, options)
    practice: dict[str, Any] = {name: getattr(options, name) for name in ("episodes", "steps", "env_steps", "seconds")}
    try:
        player.adapt(env, **practice, keep_if=options.keep_if or None, judge_episodes=options.judge_episodes)
    finally:
        env.close()
    player.save(out)
    say(f"practised: {player.practice}")
    say(f"player: {out}; load it with meta_rl.load_player({str(out)!r})")
    return out


def open_env(agent: Agent, options: AdaptConfig) -> gym.Env[Any, Any]:
    """The environment to practise in.

    Raises:
        ConfigError: gymnasium cannot make it, or not for this agent, or there is no such task.
    """
    if options.gym:
        try:
            env = gym.make(options.gym)
            agent.interface.check(env)
            return env
        except ConfigError as error:
            raise ConfigError(f"--gym: {error}") from None
        except (gym.error.Error, ImportError) as error:
            said = " ".join(str(error).split())
            raise ConfigError(f"--gym: gymnasium cannot make {options.gym!r}: {said}") from None
    distribution, protocol = open_distribution(agent, options.split), agent.config.evaluate
    tasks = test_tasks(distribution, protocol.test_tasks, protocol.evaluation_seed)
    if not 0 <= options.task < len(tasks):
        raise ConfigError(f"--task: {options.task} asked for; valid: 0 to {len(tasks) - 1}")
    return TaskEnv(distribution, tasks[options.task])
