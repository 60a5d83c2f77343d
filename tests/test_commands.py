"""Every command that README.md, CONTRIBUTING.md and the pages of docs/ show is run: here at a tiny size, or by what a
table names.

A command that no rule knows fails `test_somebody_runs_it`, so whoever shows a new one also says who runs it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import envs
from meta_rl.cli import main
from meta_rl.cli.commands import parse_train
from meta_rl.config import TrainConfig
from meta_rl.config.fewshot import parse_name
from tests.meta_rl.conftest import TINY_OPTIONS
from tests.meta_rl.fewshot_data import needs_omniglot, write_png

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text()
PROGRAMS = ("meta-rl", "make", "python", "pytest", "pip")
INLINE = re.compile(rf"`((?:{'|'.join(PROGRAMS)}) [^`]+)`")

ELSEWHERE = {
    "python anil.py": "tests/test_docs.py",
    "spring": "tests/test_docs.py",
    "arm:reach": "tests/test_docs.py",
    "arm:push": "tests/test_docs.py",
    "runs/arm-": "tests/test_docs.py",
    "meta-rl envs check mymodule:MyDistribution": "tests/meta_rl/cli/test_environments.py",
    "mymodule:make": "tests/meta_rl/cli/test_own_environments.py",
    "meta-rl export RUN --push-to-hub": "tests/meta_rl/handover/test_export.py",
    "meta-rl export agents/mine --push-to-hub": "tests/meta_rl/handover/test_export.py",
    "meta-rl demonstrate ": "tests/meta_rl/handover/test_demonstrate.py",
    " --demonstrations ": "tests/meta_rl/handover/test_demonstrate.py",
    " --tasks metaworld": "tests/meta_rl/handover/test_export.py",
    " agents/heavier": "tests/meta_rl/handover/test_export.py",
    "meta-rl compare results/runs/": "tests/test_scripts.py",
    " --adapted FOLDER": "tests/meta_rl/handover/test_policy.py",
    "meta-rl export RUN --replay": "tests/meta_rl/handover/test_export.py",
    "python scripts/fewshot.py one-shot": "tests/meta_rl/studies/test_one_shot.py",
    "python scripts/fewshot.py sinusoid-fits": "tests/meta_rl/studies/test_sinusoid_fits.py",
    " --logger ": "tests/meta_rl/runs/test_loggers.py",
    " --ray-address ": "tests/meta_rl/sources/test_ray.py",
    "ray st": "tests/meta_rl/sources/test_ray.py",
    " runs/navigation": "tests/test_docs.py",
    " runs/second": "tests/test_docs.py",
    " --iteration ": "tests/meta_rl/training/test_iteration.py",
    " --start-from ": "tests/meta_rl/training/test_warm_start.py",
    "python scripts/adaptation.py": "tests/test_scripts.py",
    "meta-rl view ": "tests/test_docs.py",
    " --tyro-print-completion ": "tests/meta_rl/cli/test_completion.py",
    "meta-rl evaluate zoo/NAME": "tests/test_zoo.py",
    "meta-rl render zoo/NAME": "tests/meta_rl/visualise/test_render.py",
    "python scripts/zoo.py": "tests/test_zoo.py",
    "pip install .": "tests/test_packaging.py",
}
"""What a command holds -> the test that runs such a one."""


def shown() -> list[str]:
    """All of them, without comments, each once; the words of a sentence that go on after a command's name are not
    arguments, so plain ``meta-rl train`` in a sentence is left out."""
    found: list[str] = []
    for page in PAGES:
        fence = None  # the language of the block that we are in
        for line in page.read_text().splitlines():
            if line.startswith("```"):
                fence = line.removeprefix("```") if fence is None else None
            elif fence in ("", "sh"):
                found += filter(None, [line.partition("  #")[0].strip()])
            elif fence is None:
                found += [command for command in INLINE.findall(line) if len(command.split()) > 2]
    return list(dict.fromkeys(" ".join(command.split()) for command in found))


COMMANDS = shown()


def starting(*programs: str) -> list[str]:
    """The commands that begin so and are not run elsewhere."""
    return [c for c in COMMANDS if c.startswith(programs) and not elsewhere(c)]


def elsewhere(command: str) -> bool:
    return any(part in command for part in ELSEWHERE)


TRAIN = starting("meta-rl train ")
RUNS = starting(
    *(f"meta-rl {verb} " for verb in ("evaluate", "compare", "adapt", "export", "record", "render", "report"))
)
ENVS = starting("meta-rl envs ")
MAKE = starting("make ")
PYTEST = starting("pytest ")
SCRIPTS = starting("python scripts/")
PIP = starting("pip install ")
LISTS = starting("meta-rl runs ")


def test_somebody_runs_it() -> None:
    known = {*TRAIN, *RUNS, *ENVS, *MAKE, *PYTEST, *SCRIPTS, *PIP, *LISTS}
    unknown = [c for c in COMMANDS if c not in known and not elsewhere(c)]
    assert unknown == [], "no rule in tests/test_commands.py runs these"
    assert len(TRAIN) > 10  # the search finds what is there
    for file in ELSEWHERE.values():
        assert (ROOT / file).exists(), file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three finished runs, images and ratings to learn from."""
    place = tmp_path_factory.mktemp("commands")
    for seed in "012":
        assert main([*TINY_OPTIONS, "--iterations", "1", "--seed", seed, "--run-dir", str(place / f"RUN{seed}")]) == 0
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for number in range(5):
            for k in range(20):
                write_png(place / "FOLDER" / split / str(number) / f"{k}.png", rng.integers(0, 250, (12, 12, 3)))
    ratings = [f"{user}\t{item}\t{rng.integers(1, 6)}\t0" for user in range(30) for item in range(user % 7, 40, 2)]
    (place / "ml-100k").mkdir()
    (place / "ml-100k" / "u.data").write_text("\n".join(ratings) + "\n")
    return place


def small(config: TrainConfig) -> list[str]:
    """Options that make a run of `config` take a second or few; families get one task each."""
    tasks = 2 if parse_name(config.env) else max(2, len(envs.families(config.env)))
    options = f"--iterations 1 --meta-batch-size {tasks} --hidden 8 --device cpu --test-tasks {tasks}"
    return [*options.split(), "--adaptation-steps", "1"]


def arguments(command: str) -> list[str]:
    return shlex.split(command)[1:]


def learned(command: str) -> tuple[str, str]:
    """Recipe and tasks."""
    words = command.split()
    return words[2], words[words.index("--env") + 1] if "--env" in words else ""


LAST = {learned(command): command for command in TRAIN}


@pytest.mark.parametrize("command", TRAIN)
def test_train(command: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    words = arguments(command.replace("RECIPE", "maml-trpo"))
    if words[-1] == "--help":
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
        return
    config = parse_train(words[1:])
    if LAST[config.recipe, config.env] != command:
        return  # the same learner and tasks are trained by another command
    if "omniglot" in config.env and needs_omniglot.args[0]:
        pytest.skip(needs_omniglot.kwargs["reason"])
    options = small(config)
    if "--shards" in words:
        options += ["--shards", "2", "--workers", "2"]
    if parse_name(config.env) is None:
        options += ["--episodes-per-task", "1", "--adaptation-episodes", "1", "--tasks-at-once", "10"]
    assert main([*words, *options, "--run-dir", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "evaluation.json").exists()


@pytest.mark.parametrize("command", RUNS)
def test_on_a_run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder / "minari"))
    if "--minari" in command:
        pytest.importorskip("minari", reason="the extra minari is not installed")
    text = re.sub(r"RUN RUN( \.\.\.)?|RUN ?\.\.\.", "RUN0 RUN1", command)
    assert main(arguments(re.sub(r"\bRUN\b", "RUN2", text))) == 0


@pytest.mark.parametrize("command", LISTS)
def test_runs(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    assert main([word.replace("FOLDER", ".") for word in arguments(command)]) == 0
    said = capsys.readouterr().out
    assert all(f"RUN{seed}" in said for seed in "012")


@pytest.mark.parametrize("command", ENVS)
def test_envs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(command.replace("@ --speed", "hopper-params@promp --speed").replace("NAME", "tabular"))) == 0
    assert len(capsys.readouterr().out.splitlines()) > (" check " not in command)


@pytest.mark.parametrize("command", MAKE)
def test_make(command: str) -> None:
    target = command.split()[1]
    assert re.search(rf"^\.PHONY:.*\b{target}\b", MAKEFILE, re.MULTILINE)
    done = subprocess.run(["make", "-n", *arguments(command)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", PYTEST)
def test_pytest(command: str) -> None:
    path = next(word for word in arguments(command) if not word.startswith("-"))
    assert (ROOT / path).exists()  # and `make test` and `make test-slow` run all of tests/


@pytest.mark.parametrize("command", PIP)
def test_pip(command: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = re.findall(r"meta-rl\[([\w,]+)\]", command)
    assert set(wanted.split(",")) <= set(extras)


# -- scripts: the tiny ones run, for the long ones every training command in them is parsed --------------------------


def script(name: str) -> ModuleType:
    if str(ROOT / "scripts") not in sys.path:  # as for the interpreter that is given the file
        sys.path.append(str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)  # where dataclasses look up their annotations
    spec.loader.exec_module(module)
    return module


def run_script(folder: Path, *words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / words[0]), *words[1:]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def results(folder: Path, words: list[str]) -> None:
    experiment = script("results").EXPERIMENTS[words[1]]
    for name, row in experiment.rows.items():
        spent = experiment.rows[row.begins].budget if row.begins else 0
        assert (experiment.iterations(name) > 0) == (row.budget > spent)  # its options are parsed


def fewshot(folder: Path, words: list[str]) -> None:
    for recipe, iterations in script("fewshot").EXPERIMENTS[words[1]].items():
        parse_train([recipe, "--env", words[1], "--iterations", str(iterations)])


def rl2_table(folder: Path, words: list[str]) -> None:
    tiny = "--tasks 4 --iterations 1 --meta-batch-size 4 --hidden 8 --device cpu"
    run_script(folder, *words, *tiny.split())


def benchmark(folder: Path, words: list[str]) -> None:
    assert f"\t$(BIN)/python {' '.join(words)}\n" in MAKEFILE  # make bench


def skill_adaptation(folder: Path, words: list[str]) -> None:
    assert script("skill_adaptation").parse(words[1:]).goals > 1
    if words[1:] == ["--small"]:  # on a world where all of it takes seconds; make example has the robot
        tiny = "--env hopper-params@promp --world hopper-params@promp+mass=2 --shown-iterations 0 --iterations 1"
        tiny += " --recipe rl2 --goals 2 --tuning-iterations 2 --episodes-per-task 2 --meta-batch-size 2 --hidden 8"
        run_script(folder, *words, *tiny.split(), "--out", "skill")
        assert (folder / "skill" / "skill.md").read_text().count("from scratch") == 2
        assert (folder / "skill" / "agent_s0" / "results" / "report.html").exists()
        assert (folder / "skill" / "policy" / "policy.onnx").exists()


def ablations(folder: Path, words: list[str]) -> None:
    assert len(script("ablations").make_jobs(words[1], 1000, range(1))) > 5  # their options are parsed


def dynamics_table(folder: Path, words: list[str]) -> None:
    assert words[1] in script("results").EXPERIMENTS  # tests/test_scripts.py makes its table


def picture(folder: Path, words: list[str]) -> None:
    run_script(folder, *words, "picture.svg")
    assert "<svg" in (folder / "picture.svg").read_text()


RULES = {f.__name__: f for f in (picture, results, ablations, fewshot, rl2_table, benchmark, skill_adaptation)}
RULES |= {"benchmark_fewshot": benchmark, "dynamics_table": dynamics_table}


@pytest.mark.parametrize("command", SCRIPTS)
def test_script(command: str, tmp_path: Path) -> None:
    words = arguments(command)
    RULES[Path(words[0]).stem](tmp_path, words)
