"""The card says how the model scores, whether it was released, and what it was made from."""

from ml.release.card import card, lineage_rows, score_rows, table
from ml.workspace import Workspace, stages
from ml.workspace.settings import preset

COMPRESSION = {"questions": 10, "variants": [{"variant": "fp32", "acc@0.5": 50.0}, {"variant": "int8", "size_mb": 5.1}]}
SCORES = {"scores": {"refcoco/val": {"acc@0.5": 55.0, "gIoU": 44.0}}, "milestones": [{"name": "refcoco", "met": False}]}

LINE = [{"stage": "mask_index", "md5": "12ab.dir", "made from": "sa1b_shards", "params": 2}]


def test_the_card_is_whole_and_the_same_twice() -> None:
    given = (preset("smoke"), COMPRESSION, SCORES, {"backbones/sam.json": "abc"}, LINE, 0.2, True)
    written = [card(*given) for _ in range(2)]
    assert written[0] == written[1]
    for words in ("+0.20 points, held.", "| refcoco/val | acc@0.5 | 55.00 |", "| backbones/sam.json | abc |"):
        assert words in written[0]
    assert "| mask_index | 12ab.dir | sa1b_shards | 2 |" in written[0]


def test_a_row_of_the_lineage_says_what_was_written_and_read() -> None:
    made = {"mask_index": {"deps": {}, "params": {"shards.count": 2, "quality": {}}, "out": "12ab.dir"}}
    assert lineage_rows(made, stages.load(Workspace.find())) == LINE


def test_a_gate_that_did_not_hold_is_said() -> None:
    assert "not held: the model is not registered" in card(preset("smoke"), COMPRESSION, SCORES, {}, [], 3.0, False)


def test_tables_take_every_column_and_leave_gaps() -> None:
    assert table(COMPRESSION["variants"]) == [
        "| variant | acc@0.5 | size_mb |",
        "| --- | --- | --- |",
        "| fp32 | 50.00 |  |",
        "| int8 |  | 5.10 |",
    ]
    assert score_rows({"a": {"text": "no number"}, "b": {"x": 1.0, "y": 2.0}}) == [
        {"split": "b", "metric": "x", "value": 1.0}
    ]
