"""The most that any agent can earn on a bandit: dynamic programming over what can be known.

Arms are exchangeable, so all that matters of the past is how often each tried arm paid and did not pay: a multiset of
pairs. There are 4435 of them within ten pulls, and too many to enumerate within a hundred.
"""

from __future__ import annotations

from functools import cache

Counts = tuple[int, int]
"""Pulls of an arm that paid and that did not."""


def optimal_bandit(num_arms: int, num_pulls: int) -> float:
    """Expected total reward of the Bayes-optimal agent on Bernoulli arms with means from ``U[0, 1]``.

    An arm that paid s times and did not f times has the posterior Beta(1 + s, 1 + f) and pays next with probability
    ``(s + 1) / (s + f + 2)``. Takes time exponential in `num_pulls`: a blink for 10, a minute for 20.
    """

    @cache
    def value(tried: tuple[Counts, ...], left: int) -> float:
        if not left:
            return 0.0
        choices = set(tried) | ({(0, 0)} if len(tried) < num_arms else set())
        return max(earn(arm, tried, left) for arm in choices)

    def earn(arm: Counts, tried: tuple[Counts, ...], left: int) -> float:
        (paid, not_paid), others = arm, list(tried)
        if arm in others:
            others.remove(arm)
        chance = (paid + 1) / (paid + not_paid + 2)
        if_paid = value(tuple(sorted([*others, (paid + 1, not_paid)])), left - 1)
        if_not = value(tuple(sorted([*others, (paid, not_paid + 1)])), left - 1)
        return chance * (1 + if_paid) + (1 - chance) * if_not

    return value((), num_pulls)
