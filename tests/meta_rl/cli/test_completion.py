"""The script that completes a command line, and what it offers in a real shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from meta_rl.cli import main
from meta_rl.cli.commands import COMMANDS
from meta_rl.cli.completion import SHELLS, command_types, explanations, script
from meta_rl.config import RECIPES, TrainConfig

ASK = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
read -r _ _ _ _ function _ <<< "$(complete -p meta-rl)"
$function meta-rl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_names_every_command_and_recipe(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tyro-print-completion", shell]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    for name in (*COMMANDS, *RECIPES):
        assert f"'{name}'" in said.out


def test_no_command_is_forgotten() -> None:
    assert list(command_types()) == list(COMMANDS)


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("bash"):
        pytest.skip("no bash here")
    path = tmp_path_factory.mktemp("bash") / "meta-rl"
    path.write_text(script("bash"))
    return path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("meta-rl re", "record render report"),
        ("meta-rl train rl2", "rl2 rl2-gru rl2-sac"),
        ("meta-rl train rl2 --rew", "--reward-version --reward-scale --reward-coef --reward-everywhere"),
        ("meta-rl train maml-trpo --success-b", ""),  # not an option of this recipe
        ("meta-rl train maml-trpo --conf", "--config"),
        ("meta-rl train maml-trpo --device ''", "auto cpu cuda"),
        ("meta-rl train maml-trpo --env classic/", "classic/cartpole classic/pendulum classic/acrobot"),
        ("meta-rl train siamese --env images", "images-5way-1shot"),
        ("meta-rl train siamese --env sin", ""),  # it tells classes apart, of which sinusoids have none
        ("meta-rl evaluate RUN --it", "--iteration"),
        ("meta-rl evaluate RUN --split ''", "test train"),
        ("meta-rl envs ch", "check cheetah-dir cheetah-vel"),
        ("meta-rl evaluate ru", ""),  # paths are bash's own
    ],
)
def test_bash_offers_what_fits(words: str, offered: str, bash: Path) -> None:
    asked = ASK.format(script=bash, words=words)
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered.split()
    assert done.stderr == ""


def test_bash_completes_paths_where_nothing_else_fits(bash: Path) -> None:
    done = subprocess.run(["bash", "-c", f"source {bash}; complete -p meta-rl"], capture_output=True, text=True)
    assert done.stdout.startswith("complete -o default ")


def test_explanations_are_single_lines() -> None:
    found = explanations(TrainConfig)
    assert found["seed"] == "Seed that everything random derives from."
    assert found["learners"].startswith(
        "Processes that share the meta-update, each with as many tasks (and, on CUDA, a "
    )
    assert "fewshot" not in found
    assert not any("\n" in text for text in found.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "SHELL: name one, as in: meta-rl --tyro-print-completion bash (all: bash, zsh, fish)"),
        (["bahs"], "SHELL: unknown 'bahs'; closest: bash (all: bash, zsh, fish)"),
    ],
)
def test_a_bad_shell_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tyro-print-completion", *arguments]) == 2
    assert capsys.readouterr() == ("", f"meta-rl --tyro-print-completion: {message}\n")
