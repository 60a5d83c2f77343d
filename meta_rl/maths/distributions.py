"""Action distributions as named tuples of parameters, so that they cross `vmap`.

Sampling takes its noise as an argument (`noise_shape` says how much): acting is a pure function, and a rollout can
be repeated exactly.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import softplus


class Distribution(Protocol):
    """The verbs that losses and samplers use. Shapes: parameters ``[..., action_dim]``; results ``[...]``."""

    def sample(self, noise: Tensor) -> Tensor:
        """An action from standard normal ``[..., action_dim]`` (Gaussian) or uniform ``[..., 1]`` (categorical)."""
        ...

    def mode(self) -> Tensor:
        """The most likely action."""
        ...

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density or log-probability of `action`."""
        ...

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        ...

    def kl(self, other: Self) -> Tensor:
        """KL(self || other) in nats."""
        ...

    def fisher_product(self, tangent: Self) -> Self:
        """The Fisher information of the distribution's own parameters times `tangent`: the Hessian of
        ``KL(self || .)`` at `self`."""
        ...


class DiagonalGaussian(NamedTuple):
    """Independent normals with `mean` and `log_std`, both ``[..., action_dim]``."""

    mean: Tensor
    log_std: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Reparameterised sample from standard normal noise."""
        return self.mean + self.log_std.exp() * noise

    def mode(self) -> Tensor:
        """The mean."""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density."""
        z = (action - self.mean) * torch.exp(-self.log_std)
        return -(0.5 * z.square() + self.log_std + 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy."""
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def kl(self, other: DiagonalGaussian) -> Tensor:
        """Closed form, summed over action dimensions."""
        ratio = torch.exp(2 * (self.log_std - other.log_std))
        offset = ((self.mean - other.mean) * torch.exp(-other.log_std)).square()
        return (other.log_std - self.log_std + 0.5 * (ratio + offset - 1)).sum(-1)

    def fisher_product(self, tangent: DiagonalGaussian) -> DiagonalGaussian:
        """Diagonal: 1 / variance for the mean, 2 for the log standard deviation."""
        return DiagonalGaussian(tangent.mean * torch.exp(-2 * self.log_std), 2 * tangent.log_std)


class SquashedGaussian(NamedTuple):
    """Actions ``centre + half_width * tanh(u)``, all within the bounds of a box, for independent normals u with `mean`
    and `log_std`, ``[..., action_dim]``. It has a part of the verbs above: its entropy has no closed form."""

    mean: Tensor
    log_std: Tensor
    centre: Tensor
    """``[action_dim]``, the middle of the box."""
    half_width: Tensor
    """``[action_dim]``, half of its width."""

    def sample(self, noise: Tensor) -> Tensor:
        """Reparameterised sample from standard normal noise."""
        return self._action(self.mean + self.log_std.exp() * noise)

    def mode(self) -> Tensor:
        """The action of the mean of u, its median. (The density of a wide one is highest at the bounds.)"""
        return self._action(self.mean)

    def sample_with_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """`sample`, and its log-density ``[...]``: exact however close to the bounds it lies, as u is known."""
        u = self.mean + self.log_std.exp() * noise
        return self._action(u), self._log_prob(u)

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density of `action`; of one on a bound, that of the closest number inside."""
        least = torch.finfo(action.dtype).eps
        return self._log_prob(torch.atanh(((action - self.centre) / self.half_width).clamp(least - 1, 1 - least)))

    def _action(self, u: Tensor) -> Tensor:
        return self.centre + self.half_width * torch.tanh(u)

    def _log_prob(self, u: Tensor) -> Tensor:
        """log N(u) - sum log |da/du|, where log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)) does not round to
        log 0."""
        slope = 2 * (math.log(2) - u - softplus(-2 * u)) + self.half_width.log()
        return DiagonalGaussian(self.mean, self.log_std).log_prob(u) - slope.sum(-1)


class Categorical(NamedTuple):
    """One of ``n`` actions with unnormalised `logits` ``[..., n]``; actions are int64 ``[...]``."""

    logits: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Inverse of the cumulative distribution at uniform noise ``[..., 1]``."""
        cumulative = torch.softmax(self.logits, -1).cumsum(-1)
        # Rounding may leave the last cumulative value just below 1.
        return (noise >= cumulative).sum(-1).clamp(max=self.logits.shape[-1] - 1)

    def mode(self) -> Tensor:
        """The most likely action."""
        return self.logits.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability."""
        return torch.log_softmax(self.logits, -1).gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """Shannon entropy."""
        log_p = torch.log_softmax(self.logits, -1)
        return -(log_p.exp() * log_p).sum(-1)

    def kl(self, other: Categorical) -> Tensor:
        """Closed form."""
        log_p, log_q = torch.log_softmax(self.logits, -1), torch.log_softmax(other.logits, -1)
        return (log_p.exp() * (log_p - log_q)).sum(-1)

    def fisher_product(self, tangent: Categorical) -> Categorical:
        """``(diag(p) - p p^T) tangent``."""
        p = torch.softmax(self.logits, -1)
        return Categorical(p * (tangent.logits - (p * tangent.logits).sum(-1, keepdim=True)))
