"""Tables of what was scored, and of nothing else."""

from typing import Any

from ml.evaluation.pages import tables

FOUND: dict[str, Any] = {
    "scores": {
        "refcoco/val": {"acc@0.5": 70.9, "acc@0.7": 60.0, "ceiling": 96.0},
        "refcoco/heldout": {"acc@0.5": 81.0},
        "relevance-partial/val": {"accuracy": 99.0},
        "relevance/val": {"accuracy": 97.6, "pearson": 0.8216},
    },
    "intervals": {"refcoco/val": {"acc@0.5": [63.8, 77.6]}, "relevance/val": {"pearson": [0.8, 0.84]}},
    "milestones": [{"name": "refcoco", "goal": 85.0, "value": 70.9, "met": False}],
    "breakdown": {
        "vqa/val": {"number": {"VQA accuracy": 55.0, "exact match": 51.0, "questions": 1200}},
        "refcoco/val": {
            "size: small": {"acc@0.5": 30.0, "questions": 9},
            "relation": {"acc@0.5": 54.1, "questions": 74},
        },
    },
}


def test_headlines_have_intervals_and_goals() -> None:
    rows = tables.summary(FOUND)
    assert [(row["benchmark"], row["score [95 %]"], row["goal"], row["verdict"]) for row in rows] == [
        ("relevance benchmark", "97.6", "-", ""),
        ("RefCOCO val", "70.9 [63.8, 77.6]", "85", "missed"),
        ("RefCOCO, held-out combinations", "81.0", "80", "met"),
    ]


def test_what_was_not_measured_is_empty() -> None:
    rows = {row["split"]: row for row in tables.referring(FOUND)}
    assert rows["refcoco/val"]["acc@0.7"] == "60.0" and rows["refcoco/val"]["gIoU"] == ""
    assert rows["refcoco/heldout"]["95 %"] == "" and set(rows) == {"refcoco/val", "refcoco/heldout"}
    assert [row["score"] for row in tables.others(FOUND)] == ["97.6", "0.82"]


def test_kinds_come_before_groups_with_their_counts() -> None:
    assert tables.referring_kinds(FOUND) == [
        {"split": "refcoco/val", "relation": "54.1 (74)", "size: small": "30.0 (9)"}
    ]
    (row,) = tables.other_kinds(FOUND)
    assert row == {"benchmark": "vqa/val", "kind": "number", "metric": "exact match", "score": "51.0 (1,200)"}
