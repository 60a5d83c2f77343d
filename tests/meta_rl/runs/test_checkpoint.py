"""A checkpoint is whole or absent, and never believed when altered (faults.md: C1 to C6)."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from meta_rl.core.state import GROUPS, TrainState
from meta_rl.errors import ConfigError
from meta_rl.runs import checkpoint, durable
from meta_rl.runs.checkpoint import CheckpointWarning
from meta_rl.runs.durable import CheckpointError

FILES = ("manifest.json", "state.json", "state.safetensors")


def make_state(iteration: int = 7) -> TrainState:
    """All groups, several types, special values, and an order of names that is not the alphabet's."""
    rng = torch.Generator().manual_seed(iteration)
    special = [float("nan"), float("inf"), -float("inf"), -0.0, 1e-45]
    return TrainState(
        iteration,
        1000 * iteration,
        {"z.weight": torch.randn(3, 4, generator=rng), "a.bias": torch.tensor(special)},
        {"z.weight": torch.rand(3, 4, generator=rng), "a.bias": torch.tensor(0.1)},
        {"seen": torch.tensor(12.0, dtype=torch.float64), "mean": torch.randn(2, generator=rng, dtype=torch.float64)},
        {"second/step": torch.tensor(iteration), "moment": torch.randn(5, generator=rng, dtype=torch.float64)},
        {"mask": torch.tensor([True, False]), "empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5)},
    )


def bits(state: TrainState) -> tuple[Any, ...]:
    """Everything in a state, comparable bit for bit (NaN and -0.0 too), the order of the names included."""
    tensors = [
        (group, name, tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes())
        for group in GROUPS
        for name, tensor in getattr(state, group).items()
    ]
    return state.iteration, state.env_steps, tensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def sound(folder: Path) -> Path:
    """The folder of one sound checkpoint of `make_state(7)`."""
    return checkpoint.save_checkpoint(folder, make_state(7), 3)


def newest(folder: Path) -> TrainState:
    state = checkpoint.load_newest(folder)
    assert state is not None
    return state


# -- what is read is what was written ----------------------------------------------------------------------------------


def test_round_trip_is_bitwise(sound: Path) -> None:
    assert sound.name == "00000007"
    assert sorted(p.name for p in sound.iterdir()) == sorted(FILES)
    assert bits(checkpoint.load_checkpoint(sound)) == bits(make_state(7))


def test_loaded_tensors_own_their_memory(sound: Path) -> None:
    """Changing one in place must not reach another: each has a storage of its own size."""
    state = checkpoint.load_checkpoint(sound)
    for group in GROUPS:
        for tensor in getattr(state, group).values():
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def test_views_and_tensors_that_need_gradients_are_saved_by_value(folder: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4).requires_grad_()
    state = TrainState(1, 2, {"turned": base.t(), "spread": base[:1].expand(3, 4), "same": base})
    loaded = checkpoint.load_checkpoint(checkpoint.save_checkpoint(folder, state, 1))
    for name, tensor in state.params.items():
        assert torch.equal(loaded.params[name], tensor)
        assert not loaded.params[name].requires_grad


def test_no_checkpoint_is_none(folder: Path) -> None:
    assert checkpoint.load_newest(folder) is None
    folder.mkdir()
    assert checkpoint.load_newest(folder) is None


def test_newest_by_number_and_rotation_keeps_the_newest(folder: Path) -> None:
    for iteration in (8, 9, 10, 100, 99_999_999, 100_000_000):  # the last has a digit more than the folder names
        checkpoint.save_checkpoint(folder, make_state(iteration), 3)
    assert sorted(int(p.name) for p in folder.iterdir()) == [100, 99_999_999, 100_000_000]
    assert newest(folder).iteration == 100_000_000
    checkpoint.save_checkpoint(folder, make_state(100_000_001), 1)
    assert [int(p.name) for p in folder.iterdir()] == [100_000_001]


def test_all_are_kept_where_none_is_to_go(folder: Path) -> None:
    for iteration in range(6):
        checkpoint.save_checkpoint(folder, make_state(iteration), 0)
    assert sorted(int(p.name) for p in folder.iterdir()) == [*range(6)]
    checkpoint.load_checkpoint(folder / "00000003")


def test_the_manifest_names_schema_versions_sizes_and_hashes(sound: Path) -> None:
    manifest = json.loads((sound / "manifest.json").read_text())
    assert manifest["schema"] == checkpoint.CHECKPOINT_SCHEMA
    assert manifest["versions"]["torch"] == torch.__version__
    assert {name: entry["bytes"] for name, entry in manifest["files"].items()} == {
        name: (sound / name).stat().st_size for name in ("state.json", "state.safetensors")
    }


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_no_bit_flip_changes_what_is_loaded(sound: Path, name: str) -> None:
    """Every bit of 20 bytes over the file, first and last included: the load fails, or gives the state unaltered (a
    letter of the versions in the manifest). In the two files of the state every flip must be found."""
    path, expected = sound / name, bits(make_state(7))
    data = path.read_bytes()
    found = 0
    for k in range(20):
        offset = k * (len(data) - 1) // 19
        for bit in range(8):
            path.write_bytes(data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :])
            try:
                loaded = bits(checkpoint.load_checkpoint(sound))
            except CheckpointError as error:
                assert str(sound) in str(error)
                found += 1
            else:
                assert loaded == expected
                assert name == "manifest.json", f"flip of bit {bit} at {offset} not detected"
    assert found == 160 or (name == "manifest.json" and found >= 80)
    path.write_bytes(data)
    assert bits(checkpoint.load_checkpoint(sound)) == expected


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
@pytest.mark.parametrize("name", FILES)
def test_truncation_is_found_and_the_previous_one_used(folder: Path, name: str, share: float) -> None:
    checkpoint.save_checkpoint(folder, make_state(6), 3)
    path = checkpoint.save_checkpoint(folder, make_state(7), 3) / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    # A truncated manifest cannot say which file it was; its folder must be named all the same.
    where = "00000007" if name == "manifest.json" else f"00000007/{name}"
    with pytest.warns(CheckpointWarning, match=f"{where}.*falling back to the previous checkpoint"):
        state = newest(folder)
    assert bits(state) == bits(make_state(6))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(folder: Path, name: str) -> None:
    checkpoint.save_checkpoint(folder, make_state(6), 3)
    (checkpoint.save_checkpoint(folder, make_state(7), 3) / name).unlink()
    with pytest.warns(CheckpointWarning, match=f"00000007.*{name}"):
        state = newest(folder)
    assert bits(state) == bits(make_state(6))


def test_files_of_two_checkpoints_do_not_mix(folder: Path) -> None:
    older, newer = (checkpoint.save_checkpoint(folder, make_state(i), 3) for i in (6, 7))
    for name in ("state.safetensors", "state.json"):
        kept = (newer / name).read_bytes()
        shutil.copy(older / name, newer / name)
        with pytest.raises(CheckpointError, match=name):
            checkpoint.load_checkpoint(newer)
        (newer / name).write_bytes(kept)
    assert checkpoint.load_checkpoint(newer).iteration == 7


@pytest.mark.parametrize("schema", [0, checkpoint.CHECKPOINT_SCHEMA + 1, str(checkpoint.CHECKPOINT_SCHEMA), None])
def test_another_schema_is_refused_and_named(sound: Path, schema: Any) -> None:
    path = sound / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": schema}))
    with pytest.raises(
        CheckpointError, match=f"schema {schema}, this version reads schema {checkpoint.CHECKPOINT_SCHEMA}"
    ):
        checkpoint.load_checkpoint(sound)


@pytest.mark.parametrize("content", ["[]", "{}", "null", "3", '{"schema": 1}', '{"schema": 1, "files": []}', "\udcff"])
def test_a_manifest_of_another_shape_is_refused(sound: Path, content: str) -> None:
    (sound / "manifest.json").write_text(content, errors="surrogateescape")
    with pytest.raises(CheckpointError, match="00000007"):
        checkpoint.load_checkpoint(sound)


def test_all_damaged_is_an_error_that_names_each(folder: Path) -> None:
    for i in (5, 6, 7):
        (checkpoint.save_checkpoint(folder, make_state(i), 3) / "state.json").write_bytes(b"")
    with pytest.warns(CheckpointWarning) as warned, pytest.raises(CheckpointError) as error:
        checkpoint.load_newest(folder)
    assert len(warned) == 3
    assert all(f"{i:08d}/state.json" in str(error.value) for i in (5, 6, 7))


class Malice:
    """Its pickle, when read, makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused_without_running(folder: Path, tmp_path: Path) -> None:
    """Three disguises: a file instead of the folder, each file of a checkpoint, and a manifest that vouches for it."""
    trap = tmp_path / "sprung"
    payload = pickle.dumps(Malice(trap))
    vouched = checkpoint.save_checkpoint(folder, make_state(1), 3)
    (folder / "00000003").write_bytes(payload)
    full = folder / "00000002"
    full.mkdir()
    for name in FILES:
        (full / name).write_bytes(payload)
    for name in ("state.safetensors", "state.json"):
        (vouched / name).write_bytes(payload)
    manifest = json.loads((vouched / "manifest.json").read_text())
    entry = {"bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
    manifest["files"] = {"state.safetensors": entry, "state.json": entry}
    (vouched / "manifest.json").write_text(json.dumps(manifest))
    with pytest.warns(CheckpointWarning) as warned, pytest.raises(CheckpointError):
        checkpoint.load_newest(folder)
    assert len(warned) == 3
    assert not trap.exists()
    pickle.loads(payload)
    assert trap.exists()  # the trap does work


def test_a_damaged_checkpoint_is_replaced_when_it_is_written_again(folder: Path) -> None:
    """After a fallback the run comes back to the iteration of the damaged checkpoint and saves it anew."""
    path = checkpoint.save_checkpoint(folder, make_state(7), 3)
    (path / "state.json").write_bytes(b"")
    checkpoint.save_checkpoint(folder, make_state(7), 3)
    assert bits(checkpoint.load_checkpoint(path)) == bits(make_state(7))


def test_rotation_never_removes_the_checkpoint_just_written(folder: Path) -> None:
    """10 is sound, 20 and 30 are damaged; the run falls back to 10 and saves 15, keeping 2."""
    for i in (10, 20, 30):
        checkpoint.save_checkpoint(folder, make_state(i), 3)
    for i in (20, 30):
        (folder / f"{i:08d}" / "state.json").write_bytes(b"")
    checkpoint.save_checkpoint(folder, make_state(15), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        assert newest(folder).iteration == 15


# -- interruption ------------------------------------------------------------------------------------------------------


class Stop(BaseException):
    """Raised in place of, or right after, a system call."""


class Fuse:
    """Counts the system calls of `save_checkpoint` and blows at the n-th.

    Args:
        after: blow after the call has been done, else instead of it.
        error: what to raise.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, after: bool, error: BaseException) -> None:
        self.calls, self.at, self.after, self.error = 0, at, after, error
        monkeypatch.setattr(os, "fsync", self.wrap(os.fsync))
        monkeypatch.setattr(Path, "rename", self.wrap(Path.rename))
        monkeypatch.setattr(Path, "mkdir", self.wrap(Path.mkdir))
        write = self.wrap(durable.write_durably, self.half_written)
        for module in (checkpoint, durable):  # both call it by this name
            monkeypatch.setattr(module, "write_durably", write)

    def wrap(self, function: Callable[..., Any], partial: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            blow = self.calls == self.at
            if blow and not self.after:
                if partial is not None:
                    partial(*arguments)
                raise self.error
            result = function(*arguments, **options)
            if blow:
                raise self.error
            return result

        return wrapped

    @staticmethod
    def half_written(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])


CALLS, RENAME = 11, 10
"""2 mkdir + 3 * (write + fsync) + fsync of their folder + the rename + fsync of the parent."""


def test_the_fuse_sees_every_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test below stops at every one of them (and with ``at = 12`` at none)."""
    fuse = Fuse(monkeypatch, 0, False, Stop())
    checkpoint.save_checkpoint(folder, make_state(1), 3)
    assert fuse.calls == CALLS


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, CALLS + 2))
@pytest.mark.parametrize("kind", ["error", "kill"])
def test_an_interrupted_save_leaves_the_previous_or_the_new_state(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, at: int, after: bool
) -> None:
    """An error unwinds and cleans up; a kill (`rmtree` disabled) leaves everything as it lies."""
    checkpoint.save_checkpoint(folder, make_state(6), 3)
    error = OSError(5, "Input/output error") if kind == "error" else Stop()
    with monkeypatch.context() as patch:
        if kind == "kill":
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        Fuse(patch, at, after, error)
        try:
            checkpoint.save_checkpoint(folder, make_state(7), 3)
            interrupted = False
        except (OSError, Stop) as caught:
            assert caught is error
            interrupted = True
    assert interrupted == (at <= CALLS)
    state = newest(folder)  # no CheckpointWarning either: it would be an error
    assert bits(state) == bits(make_state(state.iteration))
    renamed = at > RENAME or (at == RENAME and after)
    assert state.iteration == (7 if renamed else 6)
    leftovers = [p for p in folder.iterdir() if p.name.startswith(".tmp-")]
    assert kind == "kill" or not leftovers
    checkpoint.remove_leftovers(folder)
    assert {p.name for p in folder.iterdir()} == {"00000006"} | ({"00000007"} if renamed else set())
    checkpoint.save_checkpoint(folder, make_state(7), 3)  # and the next attempt succeeds
    assert bits(newest(folder)) == bits(make_state(7))


def test_a_kill_leaves_something_for_remove_leftovers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would prove nothing about it."""
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        Fuse(patch, 5, False, Stop())
        with pytest.raises(Stop):
            checkpoint.save_checkpoint(folder, make_state(7), 3)
    assert [p.name for p in folder.iterdir()] == [f".tmp-00000007-{os.getpid()}"]
    assert checkpoint.load_newest(folder) is None
    checkpoint.remove_leftovers(folder)
    assert list(folder.iterdir()) == []


def test_a_kill_in_the_rotation_leaves_the_new_state(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in (1, 2):
        checkpoint.save_checkpoint(folder, make_state(i), 2)

    def half(path: Path) -> None:
        (path / "manifest.json").unlink()
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", half)
        with pytest.raises(Stop):
            checkpoint.save_checkpoint(folder, make_state(3), 2)
    assert bits(newest(folder)) == bits(make_state(3))
    checkpoint.save_checkpoint(folder, make_state(4), 2)
    assert sorted(p.name for p in folder.iterdir()) == ["00000003", "00000004"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 5))  # write, its fsync, the renaming, fsync of the folder
def test_replace_durably_shows_the_old_or_the_new_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    path = tmp_path / "file"
    durable.replace_durably(path, b"old")
    with monkeypatch.context() as patch:
        Fuse(patch, at, after, Stop())
        patch.setattr(Path, "replace", Path.rename)  # so that the fuse sees it; the same on POSIX
        with pytest.raises(Stop):
            durable.replace_durably(path, b"newer")
    assert path.read_bytes() == (b"newer" if at > 3 or (at == 3 and after) else b"old")
    durable.replace_durably(path, b"newest")
    assert path.read_bytes() == b"newest"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
from meta_rl.runs import checkpoint
from meta_rl.core.state import GROUPS, TrainState

folder = Path(sys.argv[1])
checkpoint.save_checkpoint(folder, TrainState(1, 1, {"w": torch.ones(10)}), 3)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit then fails with EFBIG, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    checkpoint.save_checkpoint(folder, TrainState(2, 2, {"w": torch.ones(10_000)}), 3)
except OSError as error:
    print("refused", error.errno)
"""


def test_a_full_disk_leaves_the_old_checkpoint(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split() == ["refused", "27"], done.stderr
    assert [p.name for p in folder.iterdir()] == ["00000001"]
    assert torch.equal(newest(folder).params["w"], torch.ones(10))


# -- one run per directory ---------------------------------------------------------------------------------------------


def test_the_lock_refuses_a_second_holder_and_dies_with_the_first(tmp_path: Path) -> None:
    held = durable.lock(tmp_path)
    with pytest.raises(ConfigError, match="in use by another run"):
        durable.lock(tmp_path)
    held.close()
    code = (
        "import sys, pathlib; from meta_rl.runs import durable\n"
        "f = durable.lock(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="in use by another run"):
            durable.lock(tmp_path)
        other.kill()
    durable.lock(tmp_path).close()
