"""Tables between marks: only what stands there changes, and a file without marks is refused."""

import json
from pathlib import Path

import pytest

from ml.errors import UserError
from ml.workspace import Workspace
from orchestration.terminal import docs

SCORES = {
    "scores": {
        "refcoco/val": {"acc@0.5": 70.9, "acc@0.7": 60.0, "gIoU": 55.0, "cIoU": 50.0, "ceiling": 96.0},
        "relevance/val": {"accuracy": 97.6, "pearson": 0.8216},
        "vqa/val": {"exact match": 40.0},
    },
    "intervals": {"refcoco/val": {"acc@0.5": [63.8, 77.6]}, "relevance/val": {"pearson": [0.8, 0.84]}},
    "milestones": [{"name": "refcoco", "goal": 85.0, "value": 70.9, "met": False}],
    "breakdown": {
        "vqa/val": {"number": {"exact match": 51.0, "questions": 1200}},
        "refcoco/val": {
            "relation": {"acc@0.5": 54.1, "questions": 74},
            "size: small": {"acc@0.5": 30.0, "questions": 9},
        },
    },
}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path)
    found.stage("benchmark_scores").mkdir(parents=True)
    (found.stage("benchmark_scores") / "scores.json").write_text(json.dumps(SCORES))
    (tmp_path / "docs").mkdir()
    for path in (tmp_path / "README.md", tmp_path / "docs" / "benchmarks.md"):
        path.write_text("before\n<!-- scores -->\nold\n<!-- /scores -->\nafter\n")
    return found


def test_what_was_scored_stands_between_the_marks_and_nowhere_else(ws: Workspace) -> None:
    readme, benchmarks = (path.read_text() for path in docs.write_scores(ws))
    assert readme.startswith("before\n<!-- scores -->\n| benchmark |") and readme.endswith(
        "|\n<!-- /scores -->\nafter\n"
    )
    assert "| RefCOCO val | acc@0.5 | 70.9 [63.8, 77.6] |  | 85 | missed |" in readme and "old" not in readme
    assert "| refcoco/val | 70.9 | [63.8, 77.6] |  | 60.0 | 55.0 | 50.0 | 96.0 |" in benchmarks
    assert "| relevance/val | pearson | 0.82 | [0.80, 0.84] |" in benchmarks
    assert "| vqa/val | number | exact match | 51.0 (1,200) |  |" in benchmarks
    assert (
        "| split | relation | size: small |\n| --- | --- | --- |\n| refcoco/val | 54.1 (74) | 30.0 (9) |" in benchmarks
    )
    assert "LVIS" not in readme  # was not scored
    docs.write_scores(ws)
    assert (ws.root / "README.md").read_text() == readme


def test_a_file_without_marks_is_named_and_left_alone(ws: Workspace) -> None:
    (ws.root / "README.md").write_text("<!-- /scores --> <!-- scores -->\n")
    with pytest.raises(UserError, match=r"README\.md: no <!-- scores --> before a <!-- /scores -->"):
        docs.write_scores(ws)
    assert (ws.root / "README.md").read_text() == "<!-- /scores --> <!-- scores -->\n"
