"""Robot skill adaptation (docs/robot-skill-adaptation.md): meta-train, adapt to new tasks, compare with scratch.

``python scripts/skill_adaptation.py --small``: within fifteen minutes on two cores. Without it, the full setting;
options of either follow: ``--env metaworld/reach-v3,push-v3:door-open-v3``. Interrupted, its training goes on where it
was.
"""

import dataclasses
import shlex
import sys
from pathlib import Path

from meta_rl.cli.parsing import parse_options
from meta_rl.config import validate
from meta_rl.errors import ConfigError
from meta_rl.studies.skill import SkillConfig, compare_with_scratch, skill_table, write_skill

SMALL = SkillConfig(iterations=10, goals=5, scratch_iterations=20, out="runs/skill-small")


def parse(arguments: list[str]) -> SkillConfig:
    """The checked options.

    Raises:
        ConfigError: anything wrong with them.
    """
    default = SMALL if "--small" in arguments else SkillConfig()
    options = [argument for argument in arguments if argument != "--small"]
    config = parse_options(SkillConfig, default, options, "skill_adaptation.py", __doc__)
    for training in (config.training, config.scratch):
        validate(dataclasses.replace(training, meta_batch_size=config.meta_batch_size))
    return config


def main(arguments: list[str]) -> None:
    """Train, adapt, learn from scratch, write, film."""
    try:
        config = parse(arguments)
    except ConfigError as error:
        print(f"skill_adaptation.py: {error}", file=sys.stderr)
        sys.exit(2)
    import meta_rl
    from envs import NoDisplayError
    from meta_rl.cli.showing import render_run
    from meta_rl.training.train import train
    from meta_rl.visualise.options import RenderConfig

    run_dir = train(config.training)
    summary = compare_with_scratch(meta_rl.load(run_dir), config)
    out = Path(config.out) / "skill"
    write_skill(summary, out, shlex.join(["python", "scripts/skill_adaptation.py", *arguments]))
    print(skill_table(summary))
    print(f"table: {out}.md, curves: {out}.json, picture: {out}.png")
    try:
        render_run(run_dir, RenderConfig(out=f"{config.out}/adaptation.mp4"))
    except (ConfigError, NoDisplayError) as error:
        print(f"no video: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
