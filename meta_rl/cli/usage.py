"""What ``meta-rl`` says of itself. Needs the table of recipes alone, so it is there at once."""

from __future__ import annotations

from collections.abc import Sequence

from meta_rl.config.recipes.table import RECIPES

USAGE = """usage: meta-rl COMMAND ...

  train [RECIPE] [--env NAME] [--config FILE] [options]   train, or resume, then evaluate on held-out tasks
  evaluate RUN [--iteration N|all] [options]              evaluate a run again by another protocol, or as it was at
                                                          iteration N, or at all that are kept
  render RUN [options]                                    a video: test tasks before and after adaptation side by side
  report RUN... [--out FILE]                              the page of one run (RUN/report.html) or of several
  view RUN [--port N]                                     a live page on this machine: choose a goal, watch it adapt
  compare RUN... [TABLE.json] [--out FILE]                evaluated runs in one table (and FILE.json, .csv, .png)
  record RUN [options]                                    every step of the test episodes as arrays, or for Minari
  demonstrate ENV --out FILE [options]                    episodes of the environment's expert, to learn from
  adapt RUN [--task N | --gym NAME] [options]             adapt to one environment, and save the adapted player
  export RUN [--format onnx] [options]                    the trained agent as a folder with a model card, or to the
                                                          Hub; or its policy as a file
  runs [FOLDER ...] [--sort changed] [--json]             list the runs below a folder: progress and scores
  envs [TEXT] [--speed]                                   list the task distributions whose name contains TEXT
  envs check NAME [--split NAME]                          run the conformance check, also on your own module:object

render, view, record, adapt and export take the newest checkpoint of a run; with --iteration N that of iteration N.
--env takes an environment (meta-rl envs), or your own as module:object (other commands take that too, for a run or an
agent of another machine), or few-shot tasks: omniglot-5way-1shot, omniglot-background-20way-1shot,
images-5way-5shot --data FOLDER, sinusoid-10shot, ratings-5shot --data FILE, synthetic-ratings-5shot.
meta-rl COMMAND --help lists all options; meta-rl --version says which version this is; meta-rl --tyro-print-completion
SHELL prints what completes commands, recipes and options in bash, zsh or fish. Recipes:
"""


def answered(argv: Sequence[str]) -> int | None:
    """Print what was asked for without a command, help or version: the exit code then, else None."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE + "\n".join(f"  {name:<18} {recipe.summary}" for name, recipe in RECIPES.items()))
        return 0 if argv else 2
    if argv[0] == "--version":
        import meta_rl

        print(f"meta-rl {meta_rl.__version__}")
        return 0
    return None
