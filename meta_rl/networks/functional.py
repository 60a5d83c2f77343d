"""Modules as functions of their parameters."""

from __future__ import annotations

import copy
import threading
import weakref
from typing import Any

import torch
from torch import nn

from meta_rl.core.types import Params


class _Copies(threading.local):
    def __init__(self) -> None:
        self.of: weakref.WeakKeyDictionary[nn.Module, nn.Module] = weakref.WeakKeyDictionary()


_copies = _Copies()


def call(module: nn.Module, params: Params, *inputs: Any) -> Any:
    """`module` on `inputs` with `params` in place of its own, from any thread.

    `torch.func.functional_call` puts the parameters into the module while it runs, so threads other than the main one
    have copies of the module.
    """
    if threading.current_thread() is not threading.main_thread():
        if module not in _copies.of:
            _copies.of[module] = copy.deepcopy(module)
        module = _copies.of[module]
    return torch.func.functional_call(module, params, inputs)
