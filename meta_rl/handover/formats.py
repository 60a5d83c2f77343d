"""Files that hold a policy as a graph: ONNX, which needs no torch, and torch's own exported program."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from meta_rl.core.threads import one_thread
from meta_rl.extras import check_installed
from meta_rl.handover.graph import Graph

KEY = "meta_rl"
"""Key of `Graph.about` in the metadata of an ONNX file."""
BESIDE = "meta_rl.json"
"""Name of `Graph.about` among the extra files of an exported program."""
BATCH = "batch"
"""Name of the first axis of all inputs and outputs."""

Runner = Callable[[Mapping[str, NDArray[Any]]], list[NDArray[Any]]]
"""Named inputs to outputs, on one thread."""


class Format(NamedTuple):
    """A way to write a graph.

    Attributes:
        file: name of the file.
        title: what people call it.
        check: refuses, if a library is missing.
        pack: the contents of the file.
        run: what runs them.
    """

    file: str
    title: str
    check: Callable[[], None]
    pack: Callable[[Graph], bytes]
    run: Callable[[bytes], Runner]


def traced(graph: Graph) -> torch.export.ExportedProgram:
    """The graph as torch has it, for any size of the first axis. It says nothing of the files that its code is in."""
    batch = torch.export.Dim(BATCH, min=1)
    examples = tuple(graph.inputs.values())
    program = torch.export.export(graph.module, examples, dynamic_shapes=tuple({0: batch} for _ in examples))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what torch's exporter says of libraries that are not needed here."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def pack_onnx(graph: Graph) -> bytes:
    """The graph as the contents of an ONNX file."""
    with quiet():
        made = torch.onnx.export(
            traced(graph),
            (),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamo=True,
            verbose=False,
            external_data=False,
        )
    assert made is not None
    model = made.model_proto
    called = {value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input}
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in called:
                axis.dim_param = BATCH
    for part in (*model.graph.node, *model.graph.value_info, model.graph):
        del part.metadata_props[:]  # lines of code, and where their files lie
    del model.metadata_props[:]
    model.metadata_props.add(key=KEY, value=json.dumps(graph.about))
    contents: bytes = model.SerializeToString(deterministic=True)
    return contents


def run_onnx(contents: bytes) -> Runner:
    """What runs the contents of an ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    return lambda given: session.run(None, dict(given))


def pack_pt2(graph: Graph) -> bytes:
    """The graph as the contents of an exported program of torch."""
    file = io.BytesIO()
    with quiet():
        torch.export.save(traced(graph), file, extra_files={BESIDE: json.dumps(graph.about)})
    return file.getvalue()


def run_pt2(contents: bytes) -> Runner:
    """What runs the contents of an exported program."""
    with quiet():
        module = torch.export.load(io.BytesIO(contents)).module()

    @torch.no_grad()
    def run(given: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with one_thread(True):
            found = module(*(torch.from_numpy(np.ascontiguousarray(array)) for array in given.values()))
        return [part.numpy() for part in (found if isinstance(found, tuple) else (found,))]

    return run


def _onnx_is_there() -> None:
    check_installed("--format onnx:", "onnx", "onnx", "onnx", "onnxruntime", "onnxscript")


POLICY_FORMATS = {
    "onnx": Format("policy.onnx", "ONNX", _onnx_is_there, pack_onnx, run_onnx),
    "pt2": Format("policy.pt2", "an exported program of torch", lambda: None, pack_pt2, run_pt2),
}
"""What ``--format`` takes besides the agent's folder."""
