"""The learners on a GPU: the same meta-update as on the CPU, from the same meta-batch, and a run from start to end."""

from pathlib import Path

import pytest
import torch

from meta_rl.cli import main
from meta_rl.cli.commands import parse_train
from meta_rl.core.types import to_device
from meta_rl.runs.problem import open_problem
from meta_rl.training.train import move_state

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
    pytest.mark.filterwarnings("ignore:RNN module weights"),  # see meta_rl/networks/memory.py
]

FEW = ["--meta-batch-size", "4"]
TRIALS = [*FEW, "--episodes-per-task", "2", "--hidden", "32", "--chunk", "30"]
CASES = [
    *(f"{recipe} --env navigation --episodes-per-task 4".split() + FEW for recipe in
      ("maml-trpo", "fomaml-trpo", "maml-dice-trpo", "metasgd-trpo", "maml-ppo", "maml-vpg", "promp", "reptile",
       "multitask-ppo", "multitask-trpo")),
    *([recipe, "--env", "navigation", *TRIALS] for recipe in ("rl2", "rl2-gru")),
    ["rl2", "--env", "bandit/k5-n10", "--meta-batch-size", "20"],
    ["rl2", "--env", "navigation", *TRIALS, "--cell", "transformer"],
    ["pearl", "--env", "navigation", *FEW, "--update-steps", "3"],
    ["rl2-sac", "--env", "navigation", *TRIALS, "--update-steps", "3"],
    *([recipe, "--env", "sinusoid-5shot"] for recipe in ("maml", "fomaml", "metasgd", "reptile-supervised")),
    ["meta-lstm", "--env", "sinusoid-5shot"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", CASES, ids=lambda arguments: f"{arguments[0]}, {arguments[2]}")
def test_a_meta_update_is_the_same_on_both_devices(arguments: list[str]) -> None:
    problem = open_problem(parse_train([*arguments, "--device", "cuda"]))
    learner, source = problem.learner, problem.source()
    batch = source.sample(learner.init().weights, 0).batch
    changes = []
    for name in ("cpu", "cuda"):
        state, device = learner.init(), torch.device(name)
        before = torch.cat([p.flatten() for p in state.params.values()])
        move_state(state, device)
        metrics = learner.meta_update(state, to_device(batch, device))
        assert not metrics["guard/non_finite_gradient"]
        assert all(p.device.type == name for p in state.params.values())
        changes.append(torch.cat([p.flatten().cpu() for p in state.params.values()]) - before)
    source.close()
    assert changes[0].norm() > 0
    # Adam's first step is the sign of the gradient, which rounding turns where it is nearly zero.
    assert torch.nn.functional.cosine_similarity(*changes, dim=0) > 0.98


@pytest.mark.parametrize(
    "recipe", ["maml", "reptile-supervised", "prototypical", "matching-fce", "siamese", "meta-lstm"]
)
def test_a_run_on_images(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    generator = torch.Generator().manual_seed(0)
    for part in ("train", "test"):
        for label in range(5):
            folder = tmp_path / "data" / part / str(label)
            folder.mkdir(parents=True)
            for i in range(18):
                pixels = torch.randint(256, (28, 28), generator=generator, dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(folder / f"{i}.png")
    options = [
        "--env",
        "images-5way-1shot",
        "--data",
        str(tmp_path / "data"),
        "--query-shots",
        "3",
        "--iterations",
        "2",
    ]
    run = str(tmp_path / "run")
    arguments = ["train", recipe, *options, "--test-tasks", "12", "--adaptation-steps", "2"]
    arguments += ["--device", "cuda", "--run-dir", run]
    assert main(arguments) == 0, capsys.readouterr().err
    assert main(["evaluate", run, "--test-tasks", "12"]) == 0


@pytest.mark.parametrize("recipe", ["maml-trpo", "rl2"])
def test_a_stopped_run_goes_on(recipe: str, tmp_path: Path) -> None:
    options = ["--env", "navigation", *FEW, "--test-tasks", "2", "--device", "cuda"]
    for iterations in ("1", "2"):
        arguments = ["train", recipe, *options, "--iterations", iterations, "--run-dir", str(tmp_path / "run")]
        assert main(arguments) == 0
