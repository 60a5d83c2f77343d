"""What the tasks of a distribution are, in a sentence or two for somebody who reads its name for the first time."""

from __future__ import annotations

from envs.metaworld.benchmarks import Benchmark

SKILLS = {
    "assembly-v3": "puts a ring on a peg",
    "basketball-v3": "drops a ball into a basket",
    "bin-picking-v3": "carries a cube from one bin to another",
    "box-close-v3": "puts the lid on a box",
    "button-press-topdown-v3": "presses a button from above",
    "button-press-topdown-wall-v3": "presses a button behind a wall from above",
    "button-press-v3": "presses a button",
    "button-press-wall-v3": "presses a button behind a wall",
    "coffee-button-v3": "presses the button of a coffee machine",
    "coffee-pull-v3": "pulls a mug away from a coffee machine",
    "coffee-push-v3": "pushes a mug under a coffee machine",
    "dial-turn-v3": "turns a dial",
    "disassemble-v3": "takes a ring off a peg",
    "door-close-v3": "closes a door",
    "door-lock-v3": "locks a door",
    "door-open-v3": "opens a door",
    "door-unlock-v3": "unlocks a door",
    "hand-insert-v3": "puts its hand into a hole",
    "drawer-close-v3": "closes a drawer",
    "drawer-open-v3": "opens a drawer",
    "faucet-open-v3": "opens a tap",
    "faucet-close-v3": "closes a tap",
    "hammer-v3": "drives in a nail with a hammer",
    "handle-press-side-v3": "presses a handle down from the side",
    "handle-press-v3": "presses a handle down",
    "handle-pull-side-v3": "pulls a handle up from the side",
    "handle-pull-v3": "pulls a handle up",
    "lever-pull-v3": "pulls a lever up",
    "pick-place-wall-v3": "carries a puck over a wall to a goal",
    "pick-out-of-hole-v3": "lifts a puck out of a hole",
    "pick-place-v3": "picks up a puck and carries it to a goal",
    "plate-slide-v3": "slides a plate into a cabinet",
    "plate-slide-side-v3": "slides a plate sideways into a cabinet",
    "plate-slide-back-v3": "slides a plate back out of a cabinet",
    "plate-slide-back-side-v3": "slides a plate back out of a cabinet, sideways",
    "peg-insert-side-v3": "puts a peg into a hole from the side",
    "peg-unplug-side-v3": "pulls a peg out to the side",
    "soccer-v3": "kicks a ball into a goal",
    "stick-push-v3": "takes a stick and pushes a thermos with it",
    "stick-pull-v3": "takes a stick and pulls a thermos with it",
    "push-v3": "pushes a puck to a goal",
    "push-wall-v3": "pushes a puck around a wall to a goal",
    "push-back-v3": "pushes a puck back to a goal",
    "reach-v3": "moves its hand to a goal",
    "reach-wall-v3": "moves its hand past a wall to a goal",
    "shelf-place-v3": "puts a puck on a shelf",
    "sweep-into-v3": "sweeps a puck into a hole",
    "sweep-v3": "sweeps a puck off the table",
    "window-open-v3": "slides a window open",
    "window-close-v3": "slides a window shut",
}
"""What the arm does in each family of Meta-World."""

RANDOM_PHYSICS = "Its physics differ from task to task, and the policy is not told how."
DYNAMICS = "Dynamics, such as masses and frictions, differ too."
"""What is said more of names with dynamics."""
SHOWN = "The observation shows the numbers of the task."
"""What is said more where the policy sees the task."""
UNTOLD = "It differs from task to task, and the policy is not told it."
RUNNERS = {
    "cheetah-dir": "A cheetah in the plane runs. Forwards or backwards is the task, which the policy is not told.",
    "cheetah-vel": f"A cheetah in the plane runs at a given speed. {UNTOLD}",
    "ant-dir": f"A four-legged ant runs in a given direction. {UNTOLD}",
    "ant-vel": f"A four-legged ant runs at a given speed. {UNTOLD}",
    "ant-goal": f"A four-legged ant walks to a goal. {UNTOLD}",
    "humanoid-dir": f"A humanoid walks in a given direction. {UNTOLD}",
    "walker-params": f"A two-legged walker in the plane runs. {RANDOM_PHYSICS}",
    "hopper-params": f"A one-legged hopper in the plane runs. {RANDOM_PHYSICS}",
}
"""Locomotion, by family."""

NAVIGATION = f"A point in the plane walks to a goal. {UNTOLD}"
TABULAR = (
    "A random Markov decision process: each task has its own transitions and rewards, which the policy is not told."
)
CLASSIC = {
    "cartpole": f"A cart balances a pole. {RANDOM_PHYSICS}",
    "pendulum": f"A pendulum is swung up and held. {RANDOM_PHYSICS}",
    "acrobot": f"Two links are swung up. {RANDOM_PHYSICS}",
}


def bandit(arms: int, pulls: int) -> str:
    """The sentences of a bandit, by its number of arms and of pulls."""
    return f"One of {arms} arms is pulled, {pulls} times. How well each pays is the task, which the policy is not told."


def metaworld(benchmark: Benchmark, goal_visible: bool | None) -> str:
    """The sentences of a benchmark of Meta-World.

    Args:
        goal_visible: whether the goal is shown; None: as the benchmark has it.
    """
    shown = benchmark.multitask if goal_visible is None else goal_visible
    told = "the goal is shown" if shown else "the policy is not told the goal"
    families = list(dict.fromkeys((*benchmark.train, *benchmark.test)))
    if len(families) == 1:
        return f"A robot arm {SKILLS[families[0]]}. Tasks differ in where things are, and {told}."
    if set(benchmark.test) <= set(benchmark.train):
        return f"A robot arm has {len(families)} skills. Tasks differ in skill and in where things are, and {told}."
    learned, judged = len(benchmark.train), len(benchmark.test)
    return (
        f"A robot arm learns from {learned} skills, and is judged on {judged} that it has not met. Tasks differ in "
        f"skill and in where things are, and {told}."
    )
