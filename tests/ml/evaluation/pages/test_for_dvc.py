"""Headlines and breakdowns in the form that DVC's commands read: of what was scored, and of nothing else."""

from typing import Any

from ml.evaluation.pages import for_dvc

FOUND: dict[str, Any] = {
    "scores": {
        "refcoco/val": {"acc@0.5": 70.9, "acc@0.7": 60.0},
        "refcoco+/testA": {"acc@0.5": 62.0},
        "relevance-partial/val": {"accuracy": 99.0},
        "absence/val": {"found where absent": 0.0},
    },
    "breakdown": {
        "refcoco/val": {
            "relation": {"acc@0.5": 54.1, "questions": 74},
            "size: small": {"acc@0.5": 30.0, "questions": 9},
        },
        "absence/val": {
            "name": {"found where absent": 0.0, "questions": 5},
            "relation": {"missed where present": 2.0, "questions": 6},
        },
        "lvis/val": {"rare": {"AP": 1.0, "questions": 3}},
    },
}


def test_a_headline_is_named_as_a_trace_takes_it() -> None:
    assert for_dvc.headlines(FOUND) == {
        "refcoco/val/acc@0.5": 70.9,
        "refcoco+/testA/acc@0.5": 62.0,
        "absence/val/found where absent": 0.0,
    }


def test_a_breakdown_has_the_kinds_that_were_scored_so() -> None:
    assert for_dvc.breakdowns(FOUND) == {
        "refcoco/val/acc@0.5": [
            {"kind": "relation", "questions": 74, "score": 54.1},
            {"kind": "size: small", "questions": 9, "score": 30.0},
        ],
        "absence/val/found where absent": [{"kind": "name", "questions": 5, "score": 0.0}],
        "absence/val/missed where present": [{"kind": "relation", "questions": 6, "score": 2.0}],
    }
