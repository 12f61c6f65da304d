"""The card says how the model scores, whether it was released, and what it was made from."""

from ml.params import preset
from ml.release.card import card, score_rows, table

COMPRESSION = {"questions": 10, "variants": [{"variant": "fp32", "acc@0.5": 50.0}, {"variant": "int8", "size_mb": 5.1}]}
SCORES = {"scores": {"refcoco/val": {"acc@0.5": 55.0, "gIoU": 44.0}}, "milestones": [{"name": "refcoco", "met": False}]}


def test_the_card_is_whole_and_the_same_twice() -> None:
    written = [card(preset("smoke"), COMPRESSION, SCORES, {"backbones/sam.json": "abc"}, 0.2, True) for _ in range(2)]
    assert written[0] == written[1]
    for words in ("+0.20 points, held.", "| refcoco/val | acc@0.5 | 55.00 |", "| backbones/sam.json | abc |"):
        assert words in written[0]


def test_a_gate_that_did_not_hold_is_said() -> None:
    assert "not held: the model is not registered" in card(preset("smoke"), COMPRESSION, SCORES, {}, 3.0, False)


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
