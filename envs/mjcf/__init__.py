"""Robots of any MJCF model on the native engine.

``model`` is a model in the engine, ``arrays`` what is read of many simulations at once, ``engine`` steps them behind
the contract of `envs.api`, ``distribution`` makes a task distribution of a model and a few functions.
"""
