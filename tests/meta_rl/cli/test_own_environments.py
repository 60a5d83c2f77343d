"""An environment of one's own, ``--env module:object``, from training to the last command; and nobody else's."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import envs
import meta_rl
from envs import registry
from meta_rl.cli import main
from meta_rl.cli.commands import parse_train
from meta_rl.config import TrainConfig, load_config
from meta_rl.errors import ConfigError
from meta_rl.runs.log import read_rows
from meta_rl.runs.own import recall
from meta_rl.training.train import train
from tests.meta_rl.conftest import TINY_FEWSHOT_COMMAND, TINY_OPTIONS

MODULE = """
from pathlib import Path

import envs
from envs.navigation import Navigation

with open(Path(__file__).with_name("imports.txt"), "a") as file:
    file.write("once\\n")

class Far(Navigation):
    pass

def make(split="train", horizon=20):
    return Far(split, horizon=horizon)

def positional(where, /):
    return make(where)

def deaf(horizon=20):
    return make(horizon=horizon)

def explode(split):
    raise KeyError(split)

def only_train(split):
    return make(split) if split == "train" else None

ready = make()
number = 3
"""
WITHOUT_ENV = TINY_OPTIONS[:2] + TINY_OPTIONS[4:]
assert TINY_OPTIONS[2] == "--env"
SMALL = [*WITHOUT_ENV, "--meta-batch-size", "2", "--test-tasks", "2"]


class Place:
    """A user's folder with a module in it, and commands that are each a process of its own as far as imports go."""

    def __init__(self, folder: Path, module: str, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.module, self.patch = folder, module, patch
        self.table, self.path = dict(registry.TABLE), list(sys.path)
        *packages, name = module.split(".")
        self.file = folder.joinpath(*packages) / f"{name}.py"
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(MODULE)

    @property
    def imports(self) -> int:
        """How often the module was imported."""
        log = self.file.with_name("imports.txt")
        return len(log.read_text().splitlines()) if log.exists() else 0

    def forget(self) -> None:
        """As a new process: nothing of the user's is known."""
        self.patch.setattr(registry, "TABLE", dict(self.table))
        self.patch.setattr(sys, "path", list(self.path))
        for name in [name for name in sys.modules if name.partition(".")[0] == self.module.partition(".")[0]]:
            del sys.modules[name]

    def command(self, *arguments: str) -> int:
        """Exit code of ``meta-rl ARGUMENTS``."""
        self.forget()
        return main([*map(str, arguments)])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The working directory; modules have a name of their own for each test, as Python keeps them."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return Place(tmp_path / "work", f"own_{abs(hash(str(tmp_path)))}", monkeypatch)


def trained(place: Place, what: str = "make", *options: str, name: str = "runs/mine") -> Path:
    """A run in one of the module's objects; not evaluated."""
    place.forget()
    words = [*SMALL, "--env", f"{place.module}:{what}", "--iterations", "1", "--run-dir", name, *options]
    return place.folder / train(parse_train(words[1:]), lambda _: None)


def untouched(place: Place, count: int, capsys: pytest.CaptureFixture[str]) -> str:
    """One line, which asks for ``--env``, and no import."""
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "--env module:object" in line or "module:object" in line
    assert place.imports == count
    return line


NEEDING = [
    ["evaluate", "RUN"],
    ["evaluate", "RUN", "--iteration", "all"],
    ["report", "RUN"],
    ["record", "RUN"],
    ["render", "RUN"],
    ["view", "RUN"],
]
"""Commands that need the environment of a run."""


def test_training_tells_the_object_the_split_if_it_takes_one(place: Place) -> None:
    for what, split in {"make": "test", "positional": "test", "ready": "train", "deaf": "train"}.items():
        run = trained(place, what, name=f"runs/{what}")
        assert load_config(run / "config.json").env == f"{place.module}:{what}"
        about = json.loads((run / "environment.json").read_text())["task_distribution"]
        assert (about["name"], about["split"], about["horizon"]) == ("navigation", "train", 20)
        assert envs.make(f"{place.module}:{what}", "test").split == split


@pytest.mark.parametrize("module", ["{}.sub", "{}.deep.sub"])
def test_modules_of_packages_are_found_again(module: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The working directory of later commands is another one."""
    inside = Place(place.folder, module.format("in" + place.module), place.patch)
    run = trained(inside)
    found = recall(run, f"{inside.module}:make")
    assert found == envs.Origin(f"{inside.module}:make", str(place.folder))
    place.patch.chdir("/")
    assert inside.command("evaluate", str(run)) == 0
    assert f"evaluating iteration 1 on {inside.module}:make, test tasks" in capsys.readouterr().out


def test_a_folder_that_is_named_after_it_has_no_colon() -> None:
    """One means a host or a drive to some programs; the folders of earlier runs keep theirs."""
    names = {
        "a.b:make": "a.b-make",
        "navigation": "navigation",
        "metaworld/reach-v3:push-v3": "metaworld-reach-v3:push-v3",
    }
    for env, part in names.items():
        assert TrainConfig(env=env).path == Path(f"runs/maml-trpo_{part}_s0")


def test_every_later_command_finds_it(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(place)
    place.patch.chdir("/")
    for said, command in {
        "evaluating iteration 1": ["evaluate", run],
        "curve: ": ["evaluate", run, "--iteration", "all"],
        "report: ": ["report", run],
        "episodes of 2 tasks": ["record", run],
        "agent: ": ["export", run],
        "| maml-trpo | 1 |": ["compare", run],
        "video: ": ["render", run, "--steps", "1", "--width", "32", "--tasks", "0", "--every", "10"],
        "resuming": ["train", "--config", run / "config.json", "--run-dir", run],
    }.items():
        if command[0] == "render":
            pytest.importorskip("av")
        assert place.command(*command) == 0, command
        assert said in capsys.readouterr().out, command
    assert place.command("view", run, "--port", "99999") == 2  # known; what is wrong comes next
    assert "--port" in capsys.readouterr().err
    assert meta_rl.load(run).iteration == 1


def test_workers_give_the_same_bits(place: Place) -> None:
    """The module lies in no folder that they would look in by themselves."""
    rows = [
        read_rows(trained(place, "make", "--shards", "2", *options, name=name) / "metrics.jsonl")
        for name, options in {"runs/one": [], "runs/two": ["--workers", "2"]}.items()
    ]
    assert rows[0] == rows[1]


def test_a_run_trained_from_python_is_found_by_commands(
    place: Place, tiny: Callable[..., TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    """Under a name that the script registered, which importing the module does not."""
    place.forget()
    sys.path.insert(0, str(place.folder))
    module = __import__(place.module)
    envs.register("mine", module.make)
    run = train(tiny(iterations=1, env="mine"))
    assert place.command("evaluate", str(run)) == 0
    assert "evaluating iteration 1 on mine, test tasks" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["lambda", "other script", "few-shot"])
def test_what_no_other_process_could_import_is_asked_for(
    kind: str, place: Place, tiny: Callable[..., TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "few-shot":
        assert main([*TINY_FEWSHOT_COMMAND.split(), "--iterations", "1", "--run-dir", "runs/few"]) == 0
        run = Path("runs/few")
        assert recall(run, "sinusoid-5shot") is None
        assert place.command("evaluate", str(run), "--env", f"{place.module}:make") == 2
        assert "needs no name" in capsys.readouterr().err
        return
    place.forget()
    sys.path.insert(0, str(place.folder))
    make = __import__(place.module).make
    if kind == "other script":
        make.__module__ = "__main__"
    envs.register("mine", (lambda split, **o: make(split, **o)) if kind == "lambda" else make)
    run = train(tiny(iterations=1, env="mine"))
    capsys.readouterr()
    assert place.command("evaluate", str(run)) == 2
    assert "'mine'" in untouched(place, 1, capsys)
    assert place.command("evaluate", str(run), "--env", f"{place.module}:make") == 0


def asked(place: Place, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command that needs the environment asks for it and imports nothing; those that need none go on."""
    count = place.imports
    capsys.readouterr()
    for words in NEEDING:
        assert place.command(*[str(run) if word == "RUN" else word for word in words]) == 2, words
        untouched(place, count, capsys)
    for words in ([], ["--seed", "1"]):
        config = str(run / "config.json")
        assert place.command("train", "--config", config, *words, "--run-dir", "runs/new") == 2
        untouched(place, count, capsys)
    assert not Path("runs/new").exists()
    assert meta_rl.load(run).iteration == 1
    assert place.imports == count


def test_a_run_from_elsewhere_imports_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Its files say the name of a module that lies where Python looks: in the working directory."""
    run = trained(place)
    copy = Path(shutil.copytree(run, place.folder / "copy"))
    asked(place, copy, capsys)
    export = run / "export"
    assert place.command("export", str(copy), "--out", str(export)) == 0
    asked(place, export, capsys)
    for folder in (copy, export):
        assert place.command("evaluate", str(folder), "--env", f"{place.module}:make") == 0
    start = [*SMALL, "--env", "navigation", "--iterations", "1", "--start-from", str(copy), "--run-dir", "runs/started"]
    count = place.imports
    assert place.command(*start) == 0
    assert place.imports == count
    asked(place, run.rename(place.folder / "runs" / "moved"), capsys)


def test_a_run_in_the_place_of_a_known_one_imports_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(place)
    for file, changes in {
        "environment.json": {"python": "3.0"},  # another run
        "config.json": {"env": f"{place.module}:explode"},  # another name
    }.items():
        original = (run / file).read_text()
        (run / file).write_text(json.dumps(json.loads(original) | changes))
        asked(place, run, capsys)
        (run / file).write_text(original)
    assert place.command("record", str(run)) == 0


def test_a_module_inside_an_unpacked_run_is_not_imported(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands are given in that very folder."""
    run = trained(place)
    download = Path(shutil.copytree(run, place.folder / "download"))
    place.file = Path(shutil.copy(place.file, download))
    place.patch.chdir(download)
    asked(place, Path(), capsys)
    asked(place, download, capsys)
    assert place.imports == 0


def test_python_imports_nothing_either(place: Place) -> None:
    run = trained(place)
    place.forget()
    count = place.imports
    sys.path.insert(0, str(place.folder))
    with pytest.raises((ConfigError, envs.UnknownNameError), match="has not been imported here"):
        meta_rl.evaluate(run)
    with pytest.raises(ConfigError, match="has not been imported here"):
        train(load_config(run / "config.json"))
    assert place.imports == count
    envs.register_own(f"{place.module}:make")
    assert meta_rl.evaluate(run, say=lambda _: None).iteration == 1


@pytest.mark.parametrize(
    ("what", "part"),
    [
        ("MODULE:mak", "has no 'mak'; closest: make"),
        ("MODULE:number", "is a int; valid: an envs.TaskDistribution"),
        ("MODULE:explode", "calling MODULE:explode raised KeyError: 'train'"),
        ("MODULE:only_train", "is a NoneType; valid: an envs.TaskDistribution"),
        ("no_such_module_here:make", "cannot import 'no_such_module_here': ModuleNotFoundError"),
        ("MODULE.py:make", "cannot import 'MODULE.py': ModuleNotFoundError"),
        ("navigatoin", "(one of your own? import its module, or name it: module:object); closest: navigation\n"),
        ("mine", "'mine' (one of your own? import its module, or name it: module:object); closest: "),
    ],
)
def test_what_cannot_be_had_is_one_line(what: str, part: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    what, part = (text.replace("MODULE", place.module) for text in (what, part))
    assert place.command(*WITHOUT_ENV, "--env", what, "--run-dir", "runs/x") == 2
    line = capsys.readouterr().err
    assert line.startswith("meta-rl train: --env: ")
    assert part in line
    assert line.count("\n") == 1
    assert not Path("runs").exists()


def test_a_module_that_ends_the_program_is_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.file.write_text("import sys\nsys.exit(3)\n")
    assert place.command(*WITHOUT_ENV, "--env", f"{place.module}:make") == 2
    assert "cannot import" in (line := capsys.readouterr().err)
    assert "SystemExit: 3" in line


@pytest.mark.parametrize(
    ("code", "code_said", "where"),
    [
        ("def make(split='train'):\n    raise SystemExit(3)\n", 2, "raised SystemExit: 3"),
        (
            "import numpy as np, gymnasium as gym\nfrom envs.vector import GymDistribution\n"
            "class Env(gym.Env):\n"
            "    observation_space = action_space = gym.spaces.Box(-1, 1, (2,), np.float32)\n"
            "    def set_task(self, vector): pass\n"
            "    def reset(self, *, seed=None, options=None): return np.zeros(2, np.float32), {}\n"
            "    def step(self, action): raise SystemExit('no licence')\n"
            "def make(split='train'):\n"
            "    return GymDistribution('ends', Env, lambda rng: rng.uniform(0, 1, 1), 5, split=split)\n",
            1,
            "step 0: SystemExit: no licence",
        ),
    ],
)
def test_an_object_that_ends_the_program_is_one_line(
    code: str, code_said: int, where: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.file.write_text(code)
    assert place.command(*WITHOUT_ENV, "--env", f"{place.module}:make") == code_said
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert where in line


def test_a_run_in_a_listed_environment_takes_no_other(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(parse_train([*SMALL[1:], "--env", "navigation", "--iterations", "1", "--run-dir", "runs/plain"]))
    assert place.command("record", str(run), "--env", "navigation") == 0
    for given in (f"{place.module}:make", "spring", "metaworld/ml10"):
        capsys.readouterr()
        assert place.command("record", str(run), "--env", given) == 2
        assert capsys.readouterr().err == (
            "meta-rl record: --env: runs/plain was trained on navigation, which needs no name; leave it out\n"
        )
    assert place.imports == 0


def test_test_tasks_that_are_training_tasks_are_said(place: Place) -> None:
    with open(place.file, "a") as file:
        file.write("""
class Listed(Far):
    def tasks(self):
        goals = (0.1, 0.2) if LISTS or self.split == "train" else (0.3, 0.4)
        return [envs.Task("navigation", (x, 0.1)) for x in goals]
""")
    for lists in (False, True):
        with open(place.file, "a") as file:
            file.write(f"\nLISTS = {lists}\n")
        if lists:
            with pytest.warns(UserWarning, match="2 test tasks are training tasks; does it take the split"):
                trained(place, "Listed", name="runs/b")
        else:
            trained(place, "Listed", name="runs/a")


def test_an_environment_that_raises_is_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.file.write_text("""
import gymnasium as gym
import numpy as np
from envs.vector import GymDistribution

class Env(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    def set_task(self, vector): pass
    def reset(self, *, seed=None, options=None): return np.zeros(2, np.float32), {}
    def step(self, action): raise ValueError("stuck")

def make(split="train"):
    return GymDistribution("raising", Env, lambda rng: rng.uniform(0, 1, 1), 5, split=split)
""")
    assert place.command(*WITHOUT_ENV, "--env", f"{place.module}:make") == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "step 0: ValueError: stuck" in line
