"""What is kept on disk is what would be made again, and nothing that happens to the files can change a result."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

import envs
from envs.metaworld import benchmarks, cache, models, snapshots
from envs.metaworld.engine import EngineVectorEnv


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of this test's own, and no memory of what earlier tests loaded."""
    monkeypatch.setenv("META_RL_CACHE", str(tmp_path / "cache"))
    for function in (benchmarks.goals, snapshots.family_model, snapshots.native_task):
        function.cache_clear()
    return tmp_path / "cache"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_arrays_survive_bit_for_bit(folder: Path) -> None:
    arrays = {"a": np.array([np.nan, -0.0, np.nextafter(1, 2)]), "b": np.arange(6, dtype=np.int32).reshape(2, 3)}
    assert cache.load("some/entry") is None
    cache.store("some/entry", arrays)
    loaded = cache.load("some/entry")
    assert loaded is not None
    assert {k: (v.dtype, v.shape, v.tobytes()) for k, v in loaded.items()} == {
        k: (v.dtype, v.shape, v.tobytes()) for k, v in arrays.items()
    }
    assert [path.name for path in files(folder)] == ["entry.npz"]  # no temporary file stays


@pytest.mark.parametrize("damage", ["empty", "half", "bit", "text", "pickle"])
def test_a_damaged_file_counts_as_absent(folder: Path, damage: str) -> None:
    cache.store("entry", {"x": np.random.default_rng(0).standard_normal(1000)})
    (path,) = files(folder)
    data = bytearray(path.read_bytes())
    if damage == "pickle":
        np.savez(path, x=np.array([{"an": "object"}], dtype=object))
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(
            {"empty": b"", "half": bytes(data[: len(data) // 2]), "bit": bytes(data), "text": b"hi"}[damage]
        )
    assert cache.load("entry") is None


@pytest.mark.parametrize("how", ["another name", "no seal", "another number", "an array more", "an array less"])
def test_a_file_that_is_not_what_was_stored_counts_as_absent(folder: Path, how: str) -> None:
    arrays = {"x": np.arange(3.0), "y": np.array(["text"])}
    cache.store("push-v3/one", arrays)
    (path,) = files(folder)
    with np.load(path) as file:
        stored = dict(file)
    other = {
        "another name": stored,
        "no seal": arrays,
        "another number": stored | {"x": np.array([0.0, 1.0, 2.1])},
        "an array more": stored | {"z": np.zeros(1)},
        "an array less": {name: stored[name] for name in ("x", cache.SEAL)},
    }[how]
    target = path.with_name("two.npz") if how == "another name" else path
    np.savez(target, **other)
    assert cache.load(f"push-v3/{target.stem}") is None
    np.savez(path, **stored)
    assert set(cache.load("push-v3/one") or {}) == {"x", "y"}


def test_entries_of_the_format_that_threads_could_spoil_are_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = cache._digest.__wrapped__
    monkeypatch.setattr(cache, "FORMAT", 1)
    monkeypatch.setattr(cache, "_digest", digest)
    cache.store("entry", {"x": np.ones(3)})
    assert cache.load("entry") is not None
    monkeypatch.undo()
    monkeypatch.setenv("META_RL_CACHE", str(folder))
    assert cache.load("entry") is None


def test_other_versions_and_an_edited_metaworld_have_other_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    here = cache._digest.__wrapped__()
    version = cache.metadata.version
    monkeypatch.setattr(cache.metadata, "version", lambda name: "9.9" if name == "metaworld" else version(name))
    assert cache._digest.__wrapped__() != here
    monkeypatch.undo()
    assert cache._digest.__wrapped__() == here
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    assert cache._digest.__wrapped__() != here


@pytest.mark.parametrize("kind", ["none", "a file", "read-only"])
def test_without_a_folder_everything_is_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "none":
        monkeypatch.setenv("META_RL_CACHE", "")
    elif kind == "a file":
        folder.write_text("precious")
    else:
        folder.mkdir()
        folder.chmod(stat.S_IREAD | stat.S_IEXEC)
        monkeypatch.setattr(cache.tempfile, "mkstemp", _refused)  # root may write anywhere
    cache.store("entry", {"x": np.ones(3)})
    assert cache.load("entry") is None
    if kind == "a file":
        assert folder.read_text() == "precious"


def _refused(**_: object) -> tuple[int, str]:
    raise PermissionError(13, "Permission denied")


def test_goals_and_snapshots_from_disk_equal_fresh_ones(folder: Path) -> None:
    """Observations and states of a short rollout: without a cache, writing it, and reading it."""

    def run() -> tuple[list[envs.Task], bytes]:
        for function in (benchmarks.goals, snapshots.family_model, snapshots.native_task):
            function.cache_clear()
        tasks = (envs.make("metaworld/ml1-door-open-v3").tasks() or [])[:2]
        actions = np.random.default_rng(0).uniform(-1, 1, (20, 2, 1, 4)).astype(np.float32)
        with EngineVectorEnv(2, 1, num_threads=1) as env:
            env.set_tasks(tasks)
            seen = [env.reset([0, 0])] + [env.step(action).observation for action in actions]
            return tasks, np.concatenate([*seen, [[env.state(i, 0)[:39]] for i in range(2)]]).tobytes()

    writing = run()
    written = files(folder)
    assert len(written) == 2 + 1 + 2  # goals of both splits, a model, two snapshots
    before = {path: path.stat().st_mtime_ns for path in written}
    reading = run()
    assert {path: path.stat().st_mtime_ns for path in files(folder)} == before
    for path in written:
        path.write_bytes(b"damaged")
    again = run()
    assert writing == reading == again
    assert all(path.read_bytes() != b"damaged" for path in written)


@pytest.mark.parametrize("family", benchmarks.FAMILIES)
def test_slim_models_differ_only_in_looks(family: str) -> None:
    """`slim` itself compares array by array and raises; here: that it made the model much smaller."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    env = ALL_V3_ENVIRONMENTS[family]()
    small = models.slim(env.model, env.model_name)
    assert small.nbuffer < env.model.nbuffer / 3
    assert (small.nq, small.nv, small.nbody) == (env.model.nq, env.model.nv, env.model.nbody)
    env.close()


def test_a_slim_model_that_would_move_otherwise_is_refused() -> None:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    env = ALL_V3_ENVIRONMENTS["reach-v3"]()
    env.model.dof_damping[3] += 1e-12
    with pytest.raises(RuntimeError, match="dof_damping"):
        models.slim(env.model, env.model_name)
    env.close()
