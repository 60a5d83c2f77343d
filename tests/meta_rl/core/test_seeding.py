import itertools

from meta_rl.core.seeding import Purpose, generator, integer


def test_streams_are_repeatable_and_distinct() -> None:
    keys = list(itertools.product((0, 1), (Purpose.TRAIN_NOISE, Purpose.TRAIN_ENV), (0, 1), (0, 1), (0, 1)))
    draws = {key: tuple(generator(*key).random(3)) for key in keys}
    assert len(set(draws.values())) == len(keys)
    assert all(tuple(generator(*key).random(3)) == draw for key, draw in draws.items())
    assert integer(0, Purpose.INIT) == integer(0, Purpose.INIT) != integer(1, Purpose.INIT)
