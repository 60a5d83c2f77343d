"""Modules as functions of their parameters."""

from __future__ import annotations

import copy
import threading
import weakref
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from meta_rl.core.types import Params
from meta_rl.errors import ConfigError


class _Copies(threading.local):
    def __init__(self) -> None:
        self.of: weakref.WeakKeyDictionary[nn.Module, nn.Module] = weakref.WeakKeyDictionary()


_copies = _Copies()


def require_learnable(module: nn.Module) -> None:
    """Refuse a network of somebody's own that cannot be learned here.

    Raises:
        ConfigError: all its parameters are frozen, or one of its layers draws random numbers or normalises over its
            batch as torch does. In one line that names the layer.
    """
    names = [name for name, _ in module.named_parameters()]
    if names and len(frozen(module)) == len(names):
        raise ConfigError("policy: all parameters are frozen (requires_grad_(False)); leave one to be learned")
    for name, layer in module.named_modules():
        problem = _problem(layer)
        if problem:
            raise ConfigError(f"policy: {type(layer).__name__} (layer {name or 'itself'}) {problem}")


def _problem(layer: nn.Module) -> str:
    """Why a layer does not fit, or nothing."""
    rate = getattr(layer, "p" if isinstance(layer, _DropoutNd) else "dropout", 0)
    if layer.training and ((isinstance(rate, float | int) and rate > 0) or isinstance(layer, nn.RReLU)):
        return "draws random numbers of its own, so no episode could be repeated; leave it out"
    if isinstance(layer, _BatchNorm) and (layer.training or layer.running_mean is None):
        return (
            "has no second derivatives under vmap, and its running statistics would be those of all tasks; valid: "
            "nn.LayerNorm, nn.GroupNorm, meta_rl.networks.conv.BatchNorm, or .eval()"
        )
    return ""


def frozen(module: nn.Module) -> list[str]:
    """Names of the parameters that stay as they are made: those with ``requires_grad_(False)``."""
    return [name for name, p in module.named_parameters() if not p.requires_grad]


def call(module: nn.Module, params: Params, *inputs: Any) -> Any:
    """`module` on `inputs` with `params` in place of its own, from any thread.

    `torch.func.functional_call` puts the parameters into the module while it runs, so threads other than the main one
    have copies of the module. Frozen parameters (see `frozen`) are constants, so every gradient of them is 0.
    """
    held = {name: params[name].detach() for name in frozen(module) if name in params}
    if held:
        params = params | held
    if threading.current_thread() is not threading.main_thread():
        if module not in _copies.of:
            _copies.of[module] = copy.deepcopy(module)
        module = _copies.of[module]
    return torch.func.functional_call(module, params, inputs)


def part_of(params: Params, module: str) -> Params:
    """The parameters of one module, by their names in it."""
    return {name.removeprefix(f"{module}."): p for name, p in params.items() if name.startswith(f"{module}.")}
