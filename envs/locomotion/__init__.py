"""Gymnasium's MuJoCo robots as task distributions, on the same native engine as Meta-World.

``robots`` says what a robot is (model, observation, when it is healthy), ``presets`` what a task is (one table, a row
per paper and family), ``distribution`` puts the two behind the contract of `envs.api`.
"""
