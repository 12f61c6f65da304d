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
        "refcoco/ways": {
            "distractors: 1": {"acc@0.5": 40.0, "questions": 9},
            "ordinal": {"acc@0.5": 60.0, "questions": 20},
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
    said = [
        {"benchmark": "refcoco/ways", "kind": "ordinal", "metric": "acc@0.5", "score": "60.0 (20)"},
        {"benchmark": "vqa/val", "kind": "number", "metric": "exact match", "score": "51.0 (1,200)"},
    ]
    assert tables.other_kinds(FOUND) == [row | {tables.BEST: ""} for row in said]


BASELINES: dict[str, Any] = {
    "clip on crops": {
        "scores": {"refcoco/val": {"acc@0.5": 58.2}, "absence/val": {"found where absent": 1.2, "AUC": 99.1}},
        "breakdown": {"refcoco/val": {"relation": {"acc@0.5": 31.0, "questions": 74}}},
    },
    "clip and a rule": {
        "scores": {"refcoco/val": {"acc@0.5": 71.5}, "absence/val": {"found where absent": 0.0, "AUC": 98.0}},
        "breakdown": {"refcoco/val": {"relation": {"acc@0.5": 55.0, "questions": 74}}},
    },
}
BESIDE = FOUND | {
    "scores": FOUND["scores"] | {"absence/val": {"found where absent": 0.9, "AUC": 99.5}},
    "baselines": BASELINES,
}


def test_the_best_baseline_stands_beside_every_score() -> None:
    shown = {row["benchmark"] + row["metric"]: row[tables.BEST] for row in tables.summary(BESIDE)}
    assert shown["RefCOCO valacc@0.5"] == "71.5 (clip and a rule)"
    assert shown["absence valfound where absent"] == "1.2 (clip on crops)"  # of the one with the highest AUC
    assert shown["RefCOCO, held-out combinationsacc@0.5"] == ""
    assert {row["split"]: row[tables.BEST] for row in tables.referring(BESIDE)}["refcoco/val"].startswith("71.5")
    ours, best = tables.referring_kinds(BESIDE)
    assert ours["relation"] == "54.1 (74)" and best["relation"] == "55.0 (clip and a rule)"
    assert best["split"] == f"refcoco/val, {tables.BEST}"


def test_all_baselines_have_a_table_of_their_own() -> None:
    rows = {row["metric"]: row for row in tables.baselines(BESIDE) if row["benchmark"] == "absence val"}
    assert rows["AUC"]["trained"] == "99.5"
    assert rows["AUC"]["clip on crops"] == "99.1" and rows["AUC"]["clip and a rule"] == "98.0"
    assert tables.baselines(FOUND) == []
