"""Large numbers on the page of a run: before and after adaptation, and whether that is better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meta_rl.evaluation.gain import BETTER, SAME, UNKNOWN, WORSE, Gain

_MINUS, _POINTS = "\N{MINUS SIGN}", " points"


def stat(
    title: str, name: str, ends: tuple[float, float], gain: Gain | None, say: Callable[[float], str], note: str
) -> dict[str, Any]:
    """A large number for `assets/page.html`.

    Args:
        name: of the score.
        ends: the score before and after adaptation.
        gain: what adaptation changed; None where nothing was adapted.
        say: a score in words.
    """
    found = {"title": title, "before": say(ends[0]), "note": note}
    if gain is None:
        return found
    verdict = gain.verdict(name)
    mood = verdict if verdict in (BETTER, WORSE) else ""
    change = verdict if verdict == SAME else f"{verdict}: {_signed(gain.change, say)}"
    if verdict not in (SAME, UNKNOWN) and gain.interval:
        low, high = (_signed(end, say) for end in gain.interval)
        change += f" (95 % interval {low.removesuffix(_POINTS)} to {high})"
    return found | {"after": say(ends[1]), "mood": mood, "change": change}


def _signed(change: float, say: Callable[[float], str]) -> str:
    """A difference with its sign; none where it rounds to nothing. Shares differ by points."""
    text = say(abs(change)).replace("%", _POINTS)
    nothing = not any(digit in text for digit in "123456789")
    return text if nothing else f"{'+' if change > 0 else _MINUS}{text}"


def share(value: float) -> str:
    """A share in per cent."""
    text = f"{100 * value:.1f}"
    return f"{text.removesuffix('.0')}%"


def with_digits_of(*values: float) -> Callable[[float], str]:
    """Says numbers as large as `values` with as many digits as tell them apart; never a negative zero."""
    top = max(map(abs, values))
    digits = 0 if top >= 1000 else 1 if top >= 10 else 2 if top >= 1 else 3
    return lambda value: f"{value:z,.{digits}f}"
