"""What every algorithm's config is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AlgorithmConfig:
    """Base of the algorithms' configs; each stands for itself."""
