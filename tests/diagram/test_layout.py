"""Boxes lie below what leads to them, and lines keep clear of boxes."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from noonchi.diagram.layout import arrange

SIZE = (100, 40)


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    return [sorted(draw(st.sets(st.integers(0, box - 1), max_size=3))) if box else [] for box in range(count)]


@given(graphs())
def test_boxes_do_not_overlap_and_lie_below_their_sources(graph):
    layout = arrange(graph, [SIZE] * len(graph))
    for (left, top), (other, below) in combinations(layout.places, 2):
        assert abs(left - other) >= 100 or abs(top - below) >= 40
    for box, sources in enumerate(graph):
        assert all(layout.places[source][1] + 40 < layout.places[box][1] for source in sources)
    assert all(0 <= left <= layout.width - 100 and 0 <= top <= layout.height - 40 for left, top in layout.places)


@given(graphs())
def test_lines_go_from_box_to_box_and_through_none(graph):
    layout = arrange(graph, [SIZE] * len(graph))
    pairs = [(source, box) for box, sources in enumerate(graph) for source in sources]
    for (source, box), line in zip(pairs, layout.lines, strict=True):
        assert line[0] == (layout.places[source][0] + 50, layout.places[source][1] + 40)
        assert line[-1][1] == layout.places[box][1]
        for x, y in line[1:-1]:
            assert not any(left < x < left + 100 and top < y < top + 40 for left, top in layout.places)


def test_a_chain_is_straight_and_what_goes_around_is_beside_it():
    layout = arrange([(), (0,), (1,), (0, 2)], [SIZE] * 4)
    assert {left for left, _ in layout.places} == {0}
    [around] = [line for line in layout.lines if len(line) > 2]
    assert all(x > 100 for x, _ in around[1:-1])
