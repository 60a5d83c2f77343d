"""A predictor adapts as the evaluation of its run did, whatever its inputs and labels look like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import meta_rl
from meta_rl.agents.predictor import Predictor
from meta_rl.config import default_config, replace_paths
from meta_rl.core.types import Examples
from meta_rl.errors import ConfigError
from meta_rl.evaluation.report import evaluate_run
from meta_rl.fewshot.tasks import fixed_episodes, open_tasks
from meta_rl.handover.export import export
from meta_rl.training.train import train
from tests.meta_rl.fewshot_data import write_png

TINY = {"iterations": 2, "meta_batch_size": 2, "device": "cpu", "evaluate.test_tasks": 3, "checkpoint_every": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of eight images for training and for tests, of 12x12, each with a picture of its own; ratings."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split in ("train", "test"):
        for number in range(4):
            picture = rng.integers(0, 60, (12, 12, 3))
            for k in range(8):
                write_png(root / split / str(number) / f"{k}.png", picture + rng.integers(0, 190, (12, 12, 3)))
    lines = [f"{u},{i},{rng.integers(1, 6)},{rng.integers(99)}" for u in range(30) for i in rng.permutation(12)[:9]]
    (root / "ratings.csv").write_text("\n".join(lines))
    return root


def trained(recipe: str, env: str, run: Path, **changes: Any) -> Path:
    return train(replace_paths(default_config(recipe, env), TINY | {"run_dir": str(run)} | changes), lambda _: None)


IMAGES = {"network.hidden": (8,), "fewshot.query_shots": 3, "fewshot.test_query_shots": 3, "fewshot.train_shots": 3}
DATA = {"ratings-5shot": "ratings.csv"}
CASES = [
    ("maml", "images-3way-2shot", 3, IMAGES | {"network.norm": "batch"}),
    ("meta-lstm", "images-3way-2shot", 8, IMAGES),
    ("prototypical", "images-3way-2shot", 1, IMAGES),
    ("reptile-supervised", "sinusoid-10shot", 50, {"network.hidden": (8,)}),
    ("maml", "ratings-5shot", 10, {"network.hidden": (8,)}),
]


@pytest.mark.parametrize(("recipe", "env", "own", "changes"), CASES)
def test_the_code_of_a_card_gives_its_number(
    recipe: str, env: str, own: int, changes: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    """Under the run's own protocol, and under that of an evaluation with other steps."""
    changes = changes | {"evaluate.adaptation_steps": own, "fewshot.data": str(folder / DATA.get(env, ""))}
    run = trained(recipe, env, tmp_path / "run", **changes)
    config = meta_rl.load(run).config
    for asked in ({}, {"adaptation_steps": own + 2}):
        evaluate_run(run, replace_paths(config.evaluate, asked), lambda _: None)
        card = (export(run, tmp_path / "out") / "README.md").read_text()
        code = card.partition("```python\n")[2].partition("\n```")[0].replace("FOLDER", str(tmp_path / "out"))
        assert ("steps=" in code) == bool(asked)
        index = json.loads(card.partition("model-index: ")[2].partition("\n")[0])
        told = index[0]["results"][0]["metrics"][0]
        scores = [score(code, told["type"], *task) for task in tasks_of(config)]
        assert len(scores) == 3
        assert np.mean(scores) == pytest.approx(told["value"], rel=1e-4)


def tasks_of(config: meta_rl.TrainConfig) -> Iterator[tuple[Examples, Examples]]:
    """Support and query of each test task, without padding."""
    for batch in fixed_episodes(open_tasks(config, "test"), config, config.evaluate, "test"):
        for task in range(len(batch.query.target)):
            known = batch.query.weight[task] > 0
            yield Examples(*(x[task] for x in batch.support[0])), Examples(*(x[task][known] for x in batch.query))


def score(code: str, metric: str, support: Examples, query: Examples) -> float:
    """What the code of a card scores on a task; classes are called by texts."""
    classes = metric == "accuracy"
    given: dict[str, Any] = {
        "support": support.observation.numpy(),
        "labels": [f"kind {label}" for label in support.target] if classes else support.target.numpy(),
        "queries": query.observation.numpy(),
    }
    exec(code, given)
    if classes:
        return float(np.mean([a == f"kind {label}" for a, label in zip(given["answers"], query.target, strict=True)]))
    error = float(np.mean((given["answers"] - query.target.numpy()) ** 2))
    return error if metric == "mse" else error**0.5


def test_the_code_of_a_card_of_one_that_acts_has_the_steps_of_its_evaluation(tmp_path: Path) -> None:
    small = {
        "episodes_per_task": 2,
        "network.hidden": (8,),
        "evaluate.adaptation_episodes": 2,
        "evaluate.adaptation_steps": 1,
    }
    run = train(
        replace_paths(default_config("maml-trpo", "navigation"), TINY | small | {"run_dir": str(tmp_path / "run")})
    )
    protocol = meta_rl.load(run).config.evaluate
    lines = {}
    for steps, episodes in ((1, 2), (2, 3), (0, 2)):
        evaluate_run(run, replace_paths(protocol, {"adaptation_steps": steps, "adaptation_episodes": episodes}))
        card = (export(run, tmp_path / "out") / "README.md").read_text()
        lines[steps] = [line.partition("  #")[0] for line in card.splitlines() if "player.adapt(" in line]
    assert lines == {1: ["player.adapt(env)"], 2: ["player.adapt(env, steps=2, episodes=3)"], 0: []}


# -- inputs and labels -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> meta_rl.Agent:
    changes = IMAGES | {"fewshot.data": str(folder), "network.norm": "group", "network.hidden": (8,)}
    return meta_rl.load(trained("maml", "images-3way-2shot", tmp_path_factory.mktemp("run") / "run", **changes))


def test_images_of_every_kind_are_the_same_images(classifier: meta_rl.Agent, folder: Path) -> None:
    paths = [folder / "test" / str(k) / f"{n}.png" for n in range(2) for k in range(3)]
    bytes_ = np.stack([np.asarray(Image.open(path)) for path in paths])
    first = bytes_.transpose(0, 3, 1, 2)
    forms = [
        paths,
        [str(path) for path in paths],
        [Image.open(path) for path in paths],
        bytes_,
        first,
        list(first),
        first.astype(np.uint16) * 257,
        first / 255,
        torch.from_numpy(first.astype(np.float32) / 255),
    ]
    labels = [0, 1, 2] * 2
    found = [classifier.predictor().adapt(form, labels).probabilities(form) for form in forms]
    assert found[0].shape == (6, 3)
    assert not np.allclose(found[0], 1 / 3)
    for each in found:
        np.testing.assert_allclose(each, found[0], atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["cat", "dog", "emu"], ["cat", "dog", "emu"]),
        ([7, -1, 3], [-1, 3, 7]),
        (np.array(["b", "a", "c"]), ["a", "b", "c"]),
        (np.array([2.5, 0.5, 1.5]), [0.5, 1.5, 2.5]),
        (torch.tensor([2, 0, 1]), [0, 1, 2]),
        ([("x", 1), None, "y"], [("x", 1), None, "y"]),
        ([True, False, True], [False, True]),
    ],
)
def test_labels_of_any_kind(classifier: meta_rl.Agent, folder: Path, labels: Any, classes: list[Any]) -> None:
    images = [folder / "test" / str(k) / "0.png" for k in range(3)]
    predictor = classifier.predictor().adapt(images, labels, steps=30)
    assert predictor.classes == classes
    assert predictor.predict(images) == (labels if isinstance(labels, list) else labels.tolist())
    assert predictor.probabilities(images).shape == (3, len(classes))


def test_adapting_again_begins_again(classifier: meta_rl.Agent, folder: Path) -> None:
    images = [folder / "test" / str(k) / "0.png" for k in range(3)]
    fresh = classifier.predictor().adapt(images, "abc").probabilities(images)
    used = classifier.predictor().adapt(images, "cba", 5).adapt(images, "abc")
    np.testing.assert_array_equal(used.probabilities(images), fresh)


def adapt(images: Any, labels: Any = "abc", **more: Any) -> Any:
    return lambda predictor: predictor.adapt(images, labels, **more)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: p.predict(np.zeros((1, 3, 12, 12))), r"predict: call adapt first"),
        (
            adapt(np.zeros((3, 3, 12, 13))),
            r"inputs: must be an array \[example, 3, 12, 12\].*got float64 \[3, 3, 12, 13\]",
        ),
        (adapt(np.full((3, 3, 12, 12), 255.0)), r"inputs: images are bytes, 16-bit numbers or floats from 0 to 1, got"),
        (adapt(np.full((3, 3, 12, 12), np.nan)), r"inputs: images are bytes"),
        (adapt(np.full((3, 3, 12, 12), 200)), r"got int64 from 200 to 200"),
        (adapt([]), r"inputs: must be a sequence with at least one"),
        (adapt([Image.new("RGB", (5, 12))] * 3), r"inputs: picture 0 is 5x12; the agent was trained with 12x12"),
        (adapt([Image.new("F", (12, 12))] * 3), r"picture 0 holds floats"),
        (adapt(["/nowhere.png"] * 3), r"/nowhere.png is not a sound image"),
        (adapt(np.zeros((4, 3, 12, 12)), "abcd"), r"labels: 4 classes, but the agent tells 3 apart"),
        (adapt(np.zeros((3, 3, 12, 12)), "ab"), r"labels: one per example, at least one; got 2 for 3 inputs"),
        (adapt(np.zeros((3, 3, 12, 12)), np.eye(3)), r"labels: must be a sequence with one label"),
        (adapt(np.zeros((3, 3, 12, 12)), [[1], [2], [3]]), r"labels: must be a sequence with one label"),
        (adapt(np.zeros((3, 3, 12, 12)), steps=-1), r"steps: must be at least 0"),
    ],
)
def test_what_does_not_fit_is_said(classifier: meta_rl.Agent, call: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        call(classifier.predictor())
    assert "\n" not in str(caught.value)


def test_one_that_acts_is_a_player_and_no_predictor(tmp_path: Path, classifier: meta_rl.Agent) -> None:
    run = trained("maml-trpo", "navigation", tmp_path / "run", episodes_per_task=2, iterations=0)
    with pytest.raises(ConfigError, match=r"predictor: maml-trpo has learned to act; valid: player"):
        meta_rl.load(run).predictor()
    with pytest.raises(ConfigError, match=r"labelled examples, not to act; valid: predictor"):
        classifier.player()


def test_drawings_of_omniglot_are_made_as_they_were_for_training(tmp_path: Path) -> None:
    """Dark ink on white, of any size, is what the network knows as high ink of 28x28."""
    rng = np.random.default_rng(0)
    for part in ("images_background", "images_evaluation"):
        for number in range(3):
            write_png(tmp_path / f"d/{part}/A/{number}/0001.png", 255 * rng.integers(0, 2, (105, 105)))
            write_png(tmp_path / f"d/{part}/A/{number}/0002.png", 255 * rng.integers(0, 2, (105, 105)))
    changes = {"fewshot.data": str(tmp_path / "d"), "network.hidden": (4,), "fewshot.query_shots": 1}
    run = trained("maml", "omniglot-background-3way-1shot", tmp_path / "run", **changes)
    predictor: Predictor = meta_rl.load(run).predictor()
    from meta_rl.fewshot.omniglot import load_part

    arrays = load_part(tmp_path / "d", "images_evaluation")[:, 0]
    paths = [tmp_path / f"d/images_evaluation/A/{number}/0001.png" for number in range(3)]
    by_array = predictor.adapt(arrays, "abc").probabilities(arrays)
    np.testing.assert_array_equal(predictor.adapt(paths, "abc").probabilities(paths), by_array)


# -- items and numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "unknown"),
    [([50, 7, 9001, 2**53 + 1], 8), (["B00X", "0345", "a;b", "ß"], "345"), (["7", "07", "x", "-"], "007")],
)
def test_items_are_called_what_their_data_calls_them(ids: list[Any], unknown: Any, tmp_path: Path) -> None:
    lines = [f'{user},"{item}",{1 + (user + k) % 5},{k}' for user in range(20) for k, item in enumerate(ids)]
    (tmp_path / "r.csv").write_text("\n".join(lines))
    data = {"fewshot.data": str(tmp_path / "r.csv"), "network.hidden": (4,)}
    run = trained("maml", "ratings-2shot", tmp_path / "run", **data)
    (tmp_path / "r.csv").unlink()
    agent = meta_rl.load(export(run, tmp_path / "out"))
    order = sorted(ids)
    assert list(agent.interface.ids) == order
    assert json.loads((tmp_path / "out/agent.json").read_text())["interface"]["ids"] == order
    predictor = agent.predictor().adapt(ids[:2], [5, 1])
    answers = predictor.predict(ids)
    network: Any = agent.learner
    index = torch.tensor([[order.index(item) for item in ids]])
    one = network.start(agent.weights, 1)
    support = predictor._support
    assert support is not None
    assert support.observation.tolist() == index[:, :2].tolist()
    for _ in range(agent.config.evaluate.adaptation_steps):
        one = network.adapt(one, support)
    np.testing.assert_array_equal(answers, network.predict(one, support, index, True)[0, :, 0].numpy())
    np.testing.assert_array_equal(predictor.predict(np.array(ids)), answers)
    with pytest.raises(ConfigError, match=rf"does not know the item {unknown!r}; valid: 4 ids, like "):
        predictor.predict([unknown])
    with pytest.raises(ConfigError, match="labels: ratings-2shot has numbers as answers, got 'good'"):
        predictor.adapt(ids[:1], ["good"])
    with pytest.raises(ConfigError, match="labels: must be finite"):
        predictor.adapt(ids[:1], [np.nan])
    with pytest.raises(ConfigError, match="probabilities: ratings-2shot has no classes"):
        predictor.probabilities(ids)


@pytest.mark.parametrize("form", [lambda x: x, lambda x: x[:, None], lambda x: x.tolist(), torch.from_numpy])
def test_numbers_for_numbers(form: Any, tmp_path: Path) -> None:
    predictor = meta_rl.load(trained("maml", "sinusoid-5shot", tmp_path / "run")).predictor()
    x = np.linspace(-4, 4, 10)
    y = np.sin(x)
    found = predictor.adapt(form(x), y, steps=5).predict(form(x))
    assert found.shape == (10,)
    np.testing.assert_allclose(found, predictor.adapt(x.astype(np.float32), y.tolist(), steps=5).predict(x), rtol=1e-5)
    for bad, words in ((["a"], "got <U1"), ([[1.0], [2.0, 3.0]], "unequal"), ([np.inf], "number 0 is not finite")):
        with pytest.raises(ConfigError, match=words):
            predictor.predict(bad)
