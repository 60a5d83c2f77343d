"""The native engine against Meta-World, step by step: state and observation to the bit, reward and info to 1e-8.

Every family the engine knows is tested. `pytest tests/envs/test_engine_oracle.py -k reach` for one family;
`-m slow` for whole episodes of 500 steps; `-rP` prints the worst differences.
"""

from __future__ import annotations

import numpy as np
import pytest

from envs.metaworld.engine import FAMILIES, INFO_NAMES, EngineVectorEnv
from tests.envs.oracle import draw_tasks, record

pytestmark = pytest.mark.filterwarnings("ignore:Constant:UserWarning")  # the experts ask for more than [-1, 1]


def _compare(family: str, steps: int, num_tasks: int, goal_visible: bool, seed: int) -> float:
    """Replays recorded episodes in one batch; returns the worst difference in reward and info."""
    episodes = record(family, draw_tasks(family, num_tasks, seed), steps, goal_visible, seed)
    worst = np.zeros(1 + len(INFO_NAMES))
    with EngineVectorEnv(len(episodes), 1, goal_visible=goal_visible, num_threads=2) as env:
        env.set_tasks([e.task for e in episodes])
        reset_observation = env.reset(range(len(episodes)))
        for i, e in enumerate(episodes):
            _assert_same_bits(reset_observation[i, 0], e.reset_observation, f"{e.task}: reset observation")
            _assert_same_bits(env.state(i, 0), e.reset_state, f"{e.task}: reset state")
        for t in range(steps):
            step = env.step(np.stack([e.action[t] for e in episodes])[:, None])
            info = env.info
            for i, e in enumerate(episodes):
                where = f"{e.task}, {e.name} actions, step {t}"
                _assert_same_bits(env.state(i, 0), e.state[t], f"{where}: physics state")
                _assert_same_bits(step.observation[i, 0], e.observation[t], f"{where}: observation")
                assert step.success[i, 0] == bool(e.info[t, 0]), f"{where}: success"
                got, expected = np.append(step.reward[i, 0], info[i, 0]), np.append(e.reward[t], e.info[t])
                difference = np.abs(got - expected)
                bad = np.flatnonzero(~(difference <= 1e-8))
                assert bad.size == 0, f"{where}: " + ", ".join(
                    f"{('reward', *INFO_NAMES)[k]} {got[k]!r} instead of {expected[k]!r}" for k in bad
                )
                worst = np.maximum(worst, difference)
    print(f"{family}: worst difference {worst.max():.2e} in {('reward', *INFO_NAMES)[worst.argmax()]}")
    return float(worst.max())


def _assert_same_bits(got: np.ndarray, expected: np.ndarray, what: str) -> None:
    different = np.flatnonzero(got.view(np.uint64) != np.asarray(expected, np.float64).view(np.uint64))
    assert different.size == 0, f"{what} differs at {different.tolist()}: {got[different]} not {expected[different]}"


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_metaworld(family: str) -> None:
    _compare(family, steps=100, num_tasks=2, goal_visible=False, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_metaworld_for_whole_episodes(family: str) -> None:
    _compare(family, steps=500, num_tasks=3, goal_visible=True, seed=2)
    _compare(family, steps=500, num_tasks=3, goal_visible=False, seed=3)
