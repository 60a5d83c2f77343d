"""Files of ratings: whoever wrote them, every rating is read as what it is, or a row is named that does not fit."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_rl.config import default_config, replace_paths, validate
from meta_rl.core.types import Examples
from meta_rl.errors import ConfigError
from meta_rl.fewshot.rating_metrics import ndcg
from meta_rl.fewshot.ratings import Ratings, load_ratings
from meta_rl.fewshot.tasks import open_tasks
from meta_rl.networks.fewshot import make_network


def read(tmp_path: Path, text: str, **scale: float) -> Ratings:
    path = tmp_path / "ratings"
    path.write_bytes(text.encode())
    return load_ratings(path, **scale)


def rows(ratings: Ratings) -> list[tuple[int, int | str, float]]:
    return [(int(u), ratings.ids[i], float(r)) for u, i, r in zip(*ratings[:3], strict=True)]


MEANT = [(0, 7, 4.0), (0, 5, 3.0), (1, 5, 2.0)]
"""User 10 rated item 7, then 5; user 11 item 5."""


@pytest.mark.parametrize(
    "text",
    [
        "movieId,userId,rating,timestamp\n5,10,3,9\n7,10,4,8\n5,11,2,7\n",
        "timestamp,rating,item_id,user_id\n9,3,5,10\n8,4,7,10\n7,2,5,11\n",
        "\ufeffuserId,movieId,rating,timestamp\r\n10,5,3,9\r\n10,7,4,8\r\n11,5,2,7\r\n",
        '"user";"item";"rating";"timestamp"\n"10";"5";"3.0";"9"\n"10";"7";"4.0";"8"\n"11";"5";"2.0";"7"\n',
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n10\t5\t3\t9\n10\t7\t4\t8\n11\t5\t2\t7\n",
        ",User-ID,ISBN,Book-Rating,Date\n0,10,5,3,2003-02-28\n1,10,7,4,2003-02-27 23:59:59\n2,11,5,2,2001-01-01\n",
        "10::5::3::9\n10::7::4::8\n11::5::2::7\n",
        "10\t5\t3\t9\n10\t7\t4\t8\n11\t5\t2\t7\n",
        "10;5;3;9\n10;7;4;8\n11;5;2;7\n",
        "10, 5, 3, 9\n\n10, 7, 4, 8\n11, 5, 2, 7\n\n",
        "10,5,3,9,a\n10,7,4,8,b\n11,5,2,7,c\n",
        "10,7,4\n10,5,3\n11,5,2\n",
        "rating,item,user\n4,7,10\n3,5,10\n2,5,11\n",
    ],
)
def test_forms_that_people_have(tmp_path: Path, text: str) -> None:
    assert rows(read(tmp_path, text)) == MEANT


def test_films_do_not_become_users(tmp_path: Path) -> None:
    ratings = read(tmp_path, "movieId,userId,rating,timestamp\n1,10,3,1\n1,11,4,2\n2,10,5,3\n")
    assert ratings.user.tolist() == [0, 0, 1]
    assert ratings.item.tolist() == [0, 1, 0]


@pytest.mark.parametrize("first", ["-5,1,3,1", "a5,1,3,1", '"5",1,3,1', " 5,1,3,1", "5.5,1,3,1"])
def test_a_first_row_with_a_number_is_a_rating(tmp_path: Path, first: str) -> None:
    assert read(tmp_path, f"{first}\n{first.replace('1,3', '2,4')}\n").rating.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        (["9223372036854775807", "9223372036854775806", "3"], (3, 2**63 - 2, 2**63 - 1)),
        (["18446744073709551615", "18446744073709551614", "0"], (0, 2**64 - 2, 2**64 - 1)),
        (["-3", "10", "9"], (-3, 9, 10)),
        (["0345", "345", "034X"], ("0345", "034X", "345")),
        (["B00005N7P0", "ß, é", "a;b"], ("B00005N7P0", "a;b", "ß, é")),
    ],
)
def test_ids_stay_what_they_are(tmp_path: Path, written: list[str], ids: tuple[int | str, ...]) -> None:
    ratings = read(tmp_path, "".join(f'1,"{name}",3,{k}\n' for k, name in enumerate(written)))
    assert ratings.ids == ids
    assert [str(ratings.ids[i]) for i in ratings.item] == written
    ratings = read(tmp_path, "".join(f'"{name}",1,{k + 1},1\n' for k, name in enumerate(written)))
    assert [written[int(r) - 1] for r in ratings.rating] == [str(name) for name in ids]
    assert ratings.user.tolist() == [0, 1, 2]


def test_times_that_a_float_cannot_tell_apart_are_in_order(tmp_path: Path) -> None:
    start = 1_600_000_000_000_000_000
    ratings = read(tmp_path, f"1,5,3,{start + 2}\n1,6,4,{start + 1}\n1,7,5,{start}\n")
    assert rows(ratings) == [(0, 7, 5.0), (0, 6, 4.0), (0, 5, 3.0)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("watcher,movie,rating,timestamp\n1,2,3,4\n", r"row 1: a header.*names no user; unknown: watcher; known names"),
        ("user,item,rating,title\nu,i,3,4\n", r"row 1: a header.*names no time; unknown: title"),
        ("user,customer,movie,rating\nu,u,i,3\n", r"row 1: a header.*names user twice"),
        ("user,item,rating\n1,2,3\n1,3,x\n", r"row 3: must be user, item, rating.*got '1, 3, x'.*::, semicolons or"),
        ("user,item,rating\n1,2,3,9\n", r"row 2: has 4 fields, but the header names 3 columns"),
        ("1 2 3 4\n", r"row 1: must be user.*known: user, item, rating.*between tabs, ::, semicolons or commas"),
        ("1::2::3::4\n1::2\n", r"row 2: must be user"),
        ("1,2,3,4\n1,3,3,soon\n", r"row 2: must be user.*a number, or a date like 2003-02-28"),
        ("1,2,3,4\n,3,3,5\n", r"row 2: must be user"),
        ('1,2,3,4\n1,"3,3,5\n2,4,3,5\n', r"row 2: unexpected end of data"),
        ("1,2,8,4\n", r"row 1: ratings are between 0.5 and 5.0, got 8.0; --lowest-rating and --highest-rating"),
        ("user,item,rating\n", "holds no ratings"),
        ("\n \n", "holds no ratings"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


IDS = st.one_of(
    st.integers(-(2**63), 2**64 - 1).map(str),
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6),
)


@settings(deadline=None, max_examples=80)
@given(
    written=st.lists(
        st.tuples(IDS, IDS, st.integers(1, 10).map(lambda x: x / 2), st.integers(0, 2**62)),
        min_size=1,
        max_size=8,
        unique_by=lambda row: row[:2],
    ),
    separator=st.sampled_from([",", ";", "\t", "::"]),
    order=st.permutations(["userId", "item_id", "Rating", "timestamp"]),
    header=st.booleans(),
    quoted=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_file_is_read_as_it_was_meant(
    tmp_path_factory: pytest.TempPathFactory,
    written: list[tuple[str, str, float, int]],
    separator: str,
    order: list[str],
    header: bool,
    quoted: bool,
    end: str,
) -> None:
    columns = ["userId", "item_id", "Rating", "timestamp"]
    order = order if header else columns
    out = io.StringIO()
    sign = "\x1f" if separator == "::" else separator
    ids = [name for row in written for name in row[:2]]
    quoted |= not header or any("::" in name or name[0] == ":" or name[-1] == ":" for name in ids)
    writer = csv.writer(out, delimiter=sign, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator=end)
    writer.writerows([[row[columns.index(name)] for name in order] for row in [columns, *written][not header :]])
    ratings = read(tmp_path_factory.mktemp("any"), out.getvalue().replace("\x1f", separator))
    found = sorted((ratings.user[k], str(ratings.ids[ratings.item[k]]), ratings.rating[k]) for k in range(len(written)))
    whole = all(re.fullmatch("0|-?[1-9][0-9]*", row[0]) for row in written)
    users = sorted({row[0] for row in written}, key=int if whole else str)
    assert found == sorted((users.index(u), i, r) for u, i, r, _ in written)
    for user, name in enumerate(users):
        times = {i: (t, ratings.ids.index(next(x for x in ratings.ids if str(x) == i))) for u, i, _, t in written
                 if u == name}  # fmt: skip
        assert [str(ratings.ids[i]) for i in ratings.item[ratings.user == user]] == sorted(times, key=times.__getitem__)


# -- other scales ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high", "start"), [(1.0, 10.0, 7.0), (0.0, 100.0, 200 / 3), (-10.0, 10.0, 10 / 3)])
def test_other_scales_are_asked_for(tmp_path: Path, low: float, high: float, start: float) -> None:
    lines = [f"{user},{item},{(low, high)[item % 2]},{item}" for user in range(30) for item in range(4)]
    (tmp_path / "r.csv").write_text("\n".join(lines))
    changes = {"fewshot.data": str(tmp_path / "r.csv"), "fewshot.lowest_rating": low, "fewshot.highest_rating": high}
    config = replace_paths(default_config("maml", "ratings-2shot"), changes)
    validate(config)
    tasks = open_tasks(config, "test")
    assert (tasks.action_space.low[0], tasks.action_space.high[0]) == (low, high)  # type: ignore[attr-defined]
    batch = tasks.test_task(0, np.random.default_rng(0), 1, 2, 2)
    assert batch.query.target.tolist() == [[low, high]]
    answers = batch.query.target[..., None]
    best, worst = (tasks.metrics(torch.zeros(1), sign * answers, batch.query)["ndcg"] for sign in (1, -1))
    assert float(best) == pytest.approx(1)
    assert 0 <= float(worst) < 1
    network = make_network(tasks.observation_space, tasks.action_space, config.network, 0)
    assert float(network.state_dict()["module.offset"]) == pytest.approx(start)
    with pytest.raises(ConfigError, match="--highest-rating: must be above"):
        validate(replace_paths(config, {"fewshot.highest_rating": low}))


def test_where_no_item_gains_every_order_is_the_best() -> None:
    query = Examples(torch.arange(2)[None], torch.zeros(1, 2), torch.ones(1, 2))
    assert float(ndcg(torch.rand(1, 2, 1), query)) == 1
