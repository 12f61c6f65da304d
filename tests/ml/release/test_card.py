"""The card says how the model scores, whether it was released, and what it was made from."""

import pytest

from ml.release.card import card, gate, lineage_rows, table
from ml.workspace import Workspace, stages
from ml.workspace.settings import preset

COMPRESSION = {
    "questions": 10,
    "variants": [{"acc@0.5": 50.0, "size_mb": 9.0, "variant": "fp32"}, {"size_mb": 5.1, "variant": "int8"}],
}
SCORES = {
    "scores": {"refcoco/val": {"P@0.5": 58.0, "acc@0.5": 55.0, "gIoU": 44.0}},
    "milestones": [{"goal": 85.0, "met": False, "name": "refcoco", "value": 55.0}],
    "intervals": {"refcoco/val": {"acc@0.5": [50.0, 60.0]}},
}

LINE = [{"stage": "mask_index", "md5": "12ab.dir", "made from": "sa1b_shards", "params": 2}]


def test_the_card_is_whole_and_the_same_twice() -> None:
    given = (preset("smoke"), COMPRESSION, SCORES, {"backbones/sam.json": "abc"}, LINE, 0.2, True)
    written = [card(*given) for _ in range(2)]
    assert written[0] == written[1]
    for words in (
        "int8 is 0.20 points worse than fp32; at most",
        "| variant | acc@0.5 | size_mb |",
        "| RefCOCO val | acc@0.5 | 55.0 [50.0, 60.0] |  | 85 | missed |",
        "| refcoco/val | 55.0 | [50.0, 60.0] |",
        "| backbones/sam.json | abc |",
        "| mask_index | 12ab.dir | sa1b_shards | 2 |",
    ):
        assert words in written[0]
    assert "58" not in written[0]  # one metric a split, that of the README


def test_a_row_of_the_lineage_says_what_was_written_and_read() -> None:
    made = {"mask_index": {"deps": {}, "params": {"shards.count": 2, "quality": {}}, "out": "12ab.dir"}}
    assert lineage_rows(made, stages.load(Workspace.find())) == LINE


@pytest.mark.parametrize(
    ("drop", "held", "words"),
    [
        (-0.66, True, "int8 is 0.66 points better than fp32; at most 0.5 worse is allowed: released."),
        (0.0, True, "int8 is as good as fp32; at most 0.5 worse is allowed: released."),
        (3.0, False, "int8 is 3.00 points worse than fp32; at most 0.5 worse is allowed: not released."),
    ],
)
def test_the_gate_in_plain_words(drop: float, held: bool, words: str) -> None:
    assert gate(drop, 0.5, held) == words


def test_tables_take_every_column_and_leave_gaps() -> None:
    assert table([{"variant": "fp32", "acc@0.5": 50.0}, {"variant": "int8", "size_mb": 5.1}]) == [
        "| variant | acc@0.5 | size_mb |",
        "| --- | --- | --- |",
        "| fp32 | 50.00 |  |",
        "| int8 |  | 5.10 |",
    ]
