"""Speed on this machine: ``python scripts/benchmark.py NAME [options]``; ``--help`` after the name.

engine      the native engine beside the other ways to step Meta-World
vector      our vector envs beside Meta-World's own of the same names
locomotion  Gymnasium's robots on the engine beside EnvPool and gymnasium's async vector env
dynamics    what dynamics as part of the task cost
own         a robot of one's own on the engine beside mujoco.rollout and Python
floor       what a robot's step costs at least: the engine beside MuJoCo alone
training    whole iterations of meta-training, split into their parts
learner     meta-updates on random data, batched over tasks and as a loop
workers     sampling in worker processes
curvature   curvature products on a part of the states: cost and worth
player      a trained agent in one environment: its actions, as ONNX too, and its adaptation
baseline    what a baseline does to the policy gradient of few episodes
skill       training until a skill is learned: env steps and minutes (hours)
"""

import importlib
import sys
from pathlib import Path

import meta_rl  # noqa: F401  before torch, see there

NAMES = (
    "engine",
    "vector",
    "locomotion",
    "dynamics",
    "own",
    "floor",
    "training",
    "learner",
    "workers",
    "curvature",
    "player",
    "baseline",
    "skill",
)


def main() -> None:
    """Hand over to the benchmark that is named first."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in NAMES:
        sys.exit(f"usage: benchmark.py {'|'.join(NAMES)} [options]")
    sys.path.insert(0, str(Path(__file__).parent))
    importlib.import_module(f"benchmark_{name}").main(arguments)


if __name__ == "__main__":
    main()
