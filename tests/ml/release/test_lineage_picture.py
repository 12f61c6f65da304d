"""The picture of a line: every box below what it reads, no way drawn twice, the same bytes each time."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from ml.release.lineage_picture import direct, layers, svg

LINE = {"shards": [], "backbones": [], "labels": ["shards", "backbones"], "model": ["labels", "backbones"]}


@st.composite
def lines(draw: st.DrawFn) -> dict[str, list[str]]:
    """Stages that read from stages before them."""
    names = [f"stage_{number}" for number in range(draw(st.integers(1, 8)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:position]), unique=True)) if position else []
        for position, name in enumerate(names)
    }


def reached(upstream: dict[str, list[str]], name: str) -> set[str]:
    return {*upstream[name], *(far for above in upstream[name] for far in reached(upstream, above))}


def test_a_line_by_hand() -> None:
    assert layers(LINE) == [["shards", "backbones"], ["labels"], ["model"]]
    assert direct(LINE) == {"shards": [], "backbones": [], "labels": ["shards", "backbones"], "model": ["labels"]}


@given(lines())
def test_boxes_lie_below_what_they_read_and_no_way_is_lost(upstream: dict[str, list[str]]) -> None:
    row = {name: number for number, names in enumerate(layers(upstream)) for name in names}
    assert all(row[above] < row[name] for name, sources in upstream.items() for above in sources)
    kept = direct(upstream)
    for name in upstream:
        assert reached(kept, name) == reached(upstream, name)
        assert not any(above in reached(upstream, other) for above in kept[name] for other in kept[name])


def test_it_is_well_formed_and_the_same_twice() -> None:
    labels = dict.fromkeys(LINE, "1 < 2 & 3")
    drawn = svg(LINE, labels)
    assert drawn == svg(LINE, labels)
    texts = [element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [text for name in LINE for text in (name, "1 < 2 & 3")]
