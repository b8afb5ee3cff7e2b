import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from noonchi.sources.groups import keys


def content(number: int) -> str:
    return f"{number:032x}"


def test_without_groups_content_decides():
    assert keys(["a", "b"], None) == ["a", "b"]
    assert keys(["a", "b"], ["", ""]) == ["a", "b"]


def test_pictures_of_a_group_share_a_key_and_others_do_not():
    one, two, three, four = keys([content(n) for n in range(4)], ["x", "x", "y", ""])
    assert one == two
    assert len({one, three, four}) == 3
    assert {len(one), len(three), len(four)} == {32}


def test_a_copy_in_no_group_goes_with_its_group():
    assert len(set(keys(["a", "a", "b"], ["x", "", "x"]))) == 1


def test_groups_joined_by_copies_go_by_the_first_name():
    chain = keys(["a", "a", "b", "b", "c"], ["z", "y", "y", "x", "w"])
    assert len(set(chain[:4])) == 1
    assert chain[0] == keys(["d"], ["x"])[0]
    assert chain[4] == keys(["e"], ["w"])[0]


def test_what_is_added_changes_no_key():
    drawn = np.random.default_rng(0).integers(0, 1000, (2, 600))
    hashes, groups = [content(n) for n in range(600)], [f"group {n}" for n in drawn[1]]
    assert keys(hashes, groups)[:300] == keys(hashes[:300], groups[:300])


pictures = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", "1", "2", "3", "4", "5"])), max_size=12)


@given(pictures, st.randoms())
def test_neither_copies_nor_groups_have_two_keys_in_any_order(rows, random):
    found = keys([one for one, _ in rows], [group for _, group in rows])
    for at in (0, 1):
        assert len({(row[at], key) for row, key in zip(rows, found, strict=True) if row[at]}) == len(
            {row[at] for row in rows if row[at]}
        )
    mixed = sorted(zip(rows, found, strict=True), key=lambda _: random.random())
    assert keys([one for (one, _), _ in mixed], [group for (_, group), _ in mixed]) == [key for _, key in mixed]


def test_a_long_chain_of_groups_takes_no_long_time():
    names = [f"{n:05d}" for n in range(20_000)]
    hashes = [content(n // 2) for n in range(1, 40_001)]
    assert len(set(keys(hashes, [name for name in reversed(names) for _ in (0, 1)]))) == 1
