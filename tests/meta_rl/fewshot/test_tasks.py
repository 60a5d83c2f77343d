"""Few-shot tasks: what is in an episode, that it repeats, and what is refused."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from meta_rl.config import default_config, replace_paths, validate
from meta_rl.config.fewshot import SPLITS, TASK_KINDS, FewShotName, parse_name
from meta_rl.errors import ConfigError
from meta_rl.fewshot import omniglot
from meta_rl.fewshot import tasks as fewshot
from meta_rl.fewshot.folder import load_folder
from meta_rl.fewshot.images import ImageTasks, rotate
from meta_rl.fewshot.ratings import load_ratings, synthetic
from meta_rl.fewshot.sinusoid import Sinusoids
from meta_rl.fewshot.users import Users
from tests.meta_rl.fewshot_data import OMNIGLOT, labelled, needs_omniglot, write_png


def test_kinds_have_sources() -> None:
    assert fewshot._OPEN.keys() == TASK_KINDS.keys()


def test_names() -> None:
    assert parse_name("omniglot-small1-20way-5shot") == FewShotName("omniglot-small1", 20, 5)
    assert parse_name("sinusoid-10shot") == FewShotName("sinusoid", 0, 10)
    assert parse_name("navigation") is None
    for bad in ("omniglot", "omniglot-5shot", "omniglot-0way-1shot", "omniglot-1way-1shot", "sinusoid-5way-1shot"):
        with pytest.raises(ConfigError, match=r"^--env: "):
            parse_name(bad)


@pytest.mark.parametrize(
    ("recipe", "env", "changes", "words"),
    [
        ("maml", "navigation", {}, "learns from few-shot tasks, which navigation is not; valid: maml-trpo"),
        ("maml-trpo", "omniglot-5way-1shot", {}, "in an environment"),
        ("matching", "sinusoid-5shot", {}, "from N-way few-shot tasks"),
        ("maml", "omnigolt-5way-1shot", {}, "closest: omniglot-5way-1shot"),
        ("maml", "omniglot-5way-1shot", {"fewshot.train_ways": 20}, "--train-ways"),
        ("maml", "omniglot-5way-1shot", {"fewshot.query_shots": 0}, "--query-shots"),
        ("matching", "omniglot-5way-1shot", {"algorithm.temperature": 0.0}, "--temperature"),
    ],
)
def test_refusals_of_the_config(recipe: str, env: str, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        validate(replace_paths(default_config(recipe, env), changes))


# -- images ----------------------------------------------------------------------------------------------------------


def test_an_episode_of_labelled_images() -> None:
    """Same class, same label; support and query never share a drawing; support is shuffled, labels with it."""
    tasks = ImageTasks(labelled(), ways=3, turns=1)
    support, query, _ = tasks.sample(np.random.default_rng(0), 50, 3, 2, 3)
    (support,) = support
    assert support.observation.shape == (50, 6, 1, 4, 4)
    assert query.observation.shape == (50, 9, 1, 4, 4)
    orders = set()
    for task in range(50):
        seen: dict[int, int] = {}
        drawings = []
        for examples in (support, query):
            corner = (examples.observation[task, :, 0, 0] * 255).round().long()
            for label, (who, drawer, *_) in zip(examples.target[task].tolist(), corner.tolist(), strict=True):
                assert seen.setdefault(label, who) == who
                drawings.append((who, drawer))
        assert len(set(seen.values())) == 3
        assert len(set(drawings)) == len(drawings) == 15
        assert sorted(support.target[task].tolist()) == [0, 0, 1, 1, 2, 2]
        orders.add(tuple(support.target[task].tolist()))
    assert len(orders) > 10


def test_turned_classes_are_turned_as_a_whole() -> None:
    tasks = ImageTasks(labelled(), ways=24, turns=4)
    assert tasks.classes == 24
    (support,), query, _ = tasks.sample(np.random.default_rng(0), 1, 24, 1, 2)
    corners = [(0, 0), (-1, 0), (-1, -1), (0, -1)]  # counter-clockwise

    def identity(image: torch.Tensor) -> tuple[int, int]:
        values = [int((image[0][corner] * 255).round()) for corner in corners]
        turn = int(np.argmax(values))
        return values[turn], turn

    found = {int(label): identity(x) for x, label in zip(support.observation[0], support.target[0], strict=True)}
    assert len(set(found.values())) == 24
    for x, label in zip(query.observation[0], query.target[0], strict=True):
        assert identity(x) == found[int(label)]


def test_rotation_by_hand() -> None:
    image = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).expand(4, 1, 2, 2)
    turned = rotate(image, torch.arange(4))
    assert turned[:, 0].tolist() == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]


def test_classes_of_different_sizes_are_drawn_from_themselves() -> None:
    images = labelled()
    keep = np.r_[0:5, 5:8, 10:30]  # class 1 has three drawings
    uneven = images._replace(images=images.images[keep], counts=np.array([5, 3, 5, 5, 5, 5]))
    (support,), query, _ = ImageTasks(uneven, 6, 1).sample(np.random.default_rng(1), 40, 6, 1, 2)
    for examples in (support, query):
        who = (examples.observation[:, :, 0, 0, 0] * 255).round().long()
        assert set(who.unique().tolist()) == set(range(100, 106))
    with pytest.raises(ConfigError, match=r"2 support and 2 query images per class, but a class in made up has 3"):
        ImageTasks(uneven, 6, 1).check(6, 2, 2, "tasks")
    with pytest.raises(ConfigError, match=r"needs 7 classes, made up has 6"):
        ImageTasks(uneven, 7, 1).check(7, 1, 1, "tasks")


def test_the_source_is_a_function_of_seed_and_iteration() -> None:
    config = default_config("maml", "sinusoid-10shot")
    one, two = (fewshot.FewShotSource(Sinusoids(), config) for _ in range(2))
    two.sample({}, 0)
    first, second = one.sample({}, 3).batch, two.sample({}, 3).batch
    assert torch.equal(first.query.observation, second.query.observation)
    assert not torch.equal(first.query.target, one.sample({}, 4).batch.query.target)
    other = fewshot.FewShotSource(Sinusoids(), dataclasses.replace(config, seed=1))
    assert not torch.equal(first.query.target, other.sample({}, 3).batch.query.target)


def test_test_episodes_do_not_depend_on_chunks_nor_on_the_learner() -> None:
    config = default_config("maml", "sinusoid-10shot")
    protocol = replace_paths(config.evaluate, {"test_tasks": 7})
    chunks = [
        list(fewshot.fixed_episodes(Sinusoids(), replace_paths(config, changes), replace_paths(protocol, size), "test"))
        for changes, size in [({}, {"tasks_at_once": 3}), ({"seed": 5, "recipe": "fomaml"}, {"tasks_at_once": 7})]
    ]
    assert [len(c) for c in chunks] == [3, 1]
    together = [torch.cat([b.query.target for b in c]) for c in chunks]
    assert torch.equal(*together)


def test_sinusoids_are_sinusoids() -> None:
    (support,), query, _ = Sinusoids().sample(np.random.default_rng(0), 200, 1, 10, 30)
    for task in range(200):
        x, y = support.observation[task, :, 0].double().numpy(), support.target[task].double().numpy()
        basis = np.stack([np.sin(x), np.cos(x)], 1)
        weights = np.linalg.lstsq(basis, y, rcond=None)[0]
        amplitude, phase = np.hypot(*weights), np.arctan2(-weights[1], weights[0])
        assert 0.1 <= amplitude <= 5
        assert -1e-4 <= phase <= np.pi + 1e-4
        x = query.observation[task, :, 0].double().numpy()
        np.testing.assert_allclose(amplitude * np.sin(x - phase), query.target[task], atol=1e-4)


# -- Omniglot --------------------------------------------------------------------------------------------------------


@needs_omniglot
def test_omniglot_splits() -> None:
    sets = {split: omniglot.characters(OMNIGLOT, "omniglot", split) for split in SPLITS}
    assert {split: len(s.counts) for split, s in sets.items()} == {"train": 1100, "validation": 100, "test": 423}
    hashes = {split: {x.tobytes() for x in s.images} for split, s in sets.items()}
    assert not hashes["train"] & hashes["test"]
    assert not hashes["validation"] & hashes["test"]
    train = omniglot.characters(OMNIGLOT, "omniglot-background", "train")
    test = omniglot.characters(OMNIGLOT, "omniglot-background", "test")
    assert (len(train.counts), len(test.counts)) == (964, 659)
    small = [omniglot.characters(OMNIGLOT, f"omniglot-small{k}", "train") for k in (1, 2)]
    assert [len(s.counts) for s in small] == [136, 156]
    packed = {x.tobytes() for x in train.images}
    assert all(x.tobytes() in packed for s in small for x in s.images)  # the zips hold the same drawings, bit for bit


@needs_omniglot
def test_one_shot_runs_are_evaluation_drawings_of_one_alphabet() -> None:
    runs = omniglot.one_shot_runs(OMNIGLOT)
    evaluation = omniglot.load_part(OMNIGLOT, "images_evaluation")
    owner = {x.tobytes(): c for c, drawings in enumerate(evaluation) for x in drawings}
    assert len(runs) == 20
    for run in runs:
        assert sorted(run.target.tolist()) == list(range(20))
        classes = [owner[x[0].tobytes()] for x in run.support]
        assert [owner[x[0].tobytes()] for x in run.query] == [classes[t] for t in run.target]


def test_omniglot_from_folders_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    for part in ("images_background", "images_evaluation"):
        for alphabet in ("A", "B"):
            for number in (1, 2):
                pixels = np.full((105, 105), 255)
                pixels[: 20 * number] = 0
                write_png(tmp_path / part / alphabet / f"character0{number}" / "0001_01.png", pixels)
    images = omniglot.load_part(tmp_path, "images_background")
    assert images.shape == (4, 1, 28, 28)
    assert images[0, 0, 0, 0] == 255
    assert images[0, 0, -1, 0] == 0
    shutil.make_archive(str(tmp_path / "z/images_background"), "zip", tmp_path, "images_background")
    np.testing.assert_array_equal(omniglot.load_part(tmp_path / "z", "images_background"), images)
    with pytest.raises(ConfigError, match=r"no images_background_small1 of Omniglot in"):
        omniglot.load_part(tmp_path, "images_background_small1")
    png = tmp_path / "images_background/A/character01/0001_01.png"
    png.write_bytes(png.read_bytes()[:40])
    with pytest.raises(ConfigError, match=r"0001_01.png is not a sound image"):
        omniglot.load_part(tmp_path, "images_background")
    png.unlink()
    write_png(png.with_name("0001_02.png"), np.zeros((105, 105)))
    write_png(png.with_name("0001_03.png"), np.zeros((105, 105)))
    with pytest.raises(ConfigError, match=r"characters with 1 to 2 drawings"):
        omniglot.load_part(tmp_path, "images_background")
    (tmp_path / "z/images_background.zip").write_bytes(b"PK damaged")
    with pytest.raises(ConfigError, match=r"images_background.zip is damaged"):
        omniglot.load_part(tmp_path / "z", "images_background")
    (tmp_path / "z/images_background.zip").unlink()
    (tmp_path / "z/omniglot_28x28.npz").write_bytes(b"not it")
    with pytest.raises(ConfigError, match=r"omniglot_28x28.npz is damaged"):
        omniglot.load_part(tmp_path / "z", "images_background")


# -- folders ---------------------------------------------------------------------------------------------------------


def test_image_folders(tmp_path: Path) -> None:
    for name, count in (("cat", 3), ("dog", 2)):
        for k in range(count):
            write_png(tmp_path / "train" / name / f"{k}.png", np.full((6, 8, 3), 10 * k))
    images = load_folder(tmp_path, "train")
    assert images.images.shape == (5, 3, 6, 8)
    assert images.counts.tolist() == [3, 2]
    with pytest.raises(ConfigError, match=r"^--data: .*test is not a folder"):
        load_folder(tmp_path, "test")
    write_png(tmp_path / "train/dog/9.png", np.zeros((6, 9, 3)))
    with pytest.raises(ConfigError, match=r"one size, but .*0.png is 8x6 and .*9.png 9x6"):
        load_folder(tmp_path, "train")
    (tmp_path / "train/dog/9.png").write_bytes(b"no")
    with pytest.raises(ConfigError, match=r"9.png is not a sound image"):
        load_folder(tmp_path, "train")
    (tmp_path / "train/empty").mkdir()
    (tmp_path / "train/dog/9.png").unlink()
    with pytest.raises(ConfigError, match=r"empty holds no image"):
        load_folder(tmp_path, "train")
    with pytest.raises(ConfigError, match=r"^--data: name the folder"):
        fewshot.open_tasks(default_config("maml", "images-5way-1shot"), "train")


# -- ratings ---------------------------------------------------------------------------------------------------------


def test_both_formats_of_movielens(tmp_path: Path) -> None:
    tabs, commas = tmp_path / "u.data", tmp_path / "ratings.csv"
    tabs.write_text("7\t50\t3\t20\n7\t40\t5\t10\n3\t50\t1\t5\n")
    commas.write_text("userId,movieId,rating,timestamp\n7,50,3.0,20\n7,40,5.0,10\n3,50,1.0,5\n")
    for path in (tabs, commas):
        ratings = load_ratings(path)
        assert ratings.user.tolist() == [0, 1, 1]
        assert ratings.item.tolist() == [1, 0, 1]  # user 7 rated item 40 first
        assert ratings.rating.tolist() == [1, 5, 3]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1\t2\tx\t4", r"row 2: must be user, item, rating, timestamp"),
        ("1\t2\t4", r"row 2: must be user, item, rating, timestamp"),
        ("1\t3\t6\t4", r"row 2: ratings are between 0.5 and 5.0, got 6.0"),
        ("1\t3\tnan\t4", r"row 2: ratings are between"),
        ("1\t2\t3\t4", r"row 2: user 1 has rated item 2 before"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: str, words: str) -> None:
    path = tmp_path / "u.data"
    path.write_text(f"1\t2\t3\t4\n{row}\n")
    with pytest.raises(ConfigError, match=words):
        load_ratings(path)


def test_users_are_split_and_their_first_ratings_support_the_test() -> None:
    ratings = synthetic(users=100, items=90)
    assert ratings.rating.min() >= 1
    assert ratings.rating.max() <= 5
    sets = {split: Users(ratings, split, 5) for split in SPLITS}
    rows = [set(s.rows().tolist()) for s in sets.values()]
    assert [len(r & q) for r, q in zip(rows, rows[1:] + rows[:1], strict=True)] == [0, 0, 0]
    assert (sets["train"].count, sets["validation"].count, sets["test"].count) == (None, 10, 10)
    (support,), query, _ = sets["test"].test_task(0, np.random.default_rng(0), 1, 5, 100)
    first = sets["test"].rows()[:5]
    assert support.observation[0].tolist() == ratings.item[first].tolist()
    assert query.observation.shape == (1, 100)
    held_out = int(query.weight.sum())
    assert 25 <= held_out <= 75
    assert not set(query.observation[0].tolist()) & set(support.observation[0].tolist())
    with pytest.raises(ConfigError, match=r"no test user of synthetic, seed 0 has more than 500 ratings"):
        Users(ratings, "test", 500)
