"""What a run's journal on disk holds, whatever becomes of its writer."""

import json
from pathlib import Path

import pytest

from ml.training.tracking import journal
from ml.training.tracking.journal import Journal
from ml.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def kinds(kept: Journal) -> list[str]:
    return [event["kind"] for event, _ in kept.events(0)]


def test_a_line_cut_by_a_kill_is_passed_over_and_spoils_no_other(ws: Workspace) -> None:
    kept = Journal.begin(ws, "relevance_learning", "town")
    kept.append("tag", name="a", value="1")
    with (kept.folder / "events.jsonl").open("a") as file:
        file.write('{"kind": "tag", "na')
    assert kinds(kept) == ["tag"] and not kept.ended
    kept.end("FAILED", "cut")
    assert kinds(kept) == ["tag", "tag", "end"] and kept.ended


def test_positions_go_on_where_the_last_ended(ws: Workspace) -> None:
    kept = Journal.begin(ws, "relevance_learning", "town")
    for step in range(3):
        kept.metrics({"loss": float("nan")}, step)
    (_, first), *_ = kept.events(0)
    assert [event["values"][0][3] for event, _ in kept.events(first)] == [1, 2]


def test_the_journal_of_a_process_that_is_gone_is_ended_with_its_last_lines(ws: Workspace) -> None:
    alive, gone = (Journal.begin(ws, "relevance_learning", "town") for _ in range(2))
    run = gone.run | {"process": f"{journal.process().rpartition(':')[0]}:1.00"}
    (gone.folder / "run.json").write_text(json.dumps(run))
    journal.bury(ws, ["step 3", "Killed"])
    assert gone.ended and not alive.ended
    (said, _), _ = gone.events(0)
    assert said["value"].startswith("step 3\nKilled\nprocess ")
    assert journal.pending(ws) == [gone]
    journal.bury(ws)
    assert kinds(gone) == ["tag", "end"]


def test_one_process_at_a_time_sends_a_journal(ws: Workspace) -> None:
    kept = Journal.begin(ws, "relevance_learning", "town")
    with kept.locked() as first, kept.locked() as second:
        assert first and not second
    kept.remove()
    with kept.locked() as gone:
        assert not gone
    assert journal.journals(ws) == []


def test_a_table_holds_what_json_has_a_word_for() -> None:
    rows = [{"step": 1, "loss": float("nan")}, {"step": 2, "more": "x"}]
    assert json.loads(journal.table(rows)) == {
        "columns": ["step", "loss", "more"],
        "data": [[1, None, None], [2, None, "x"]],
    }


def test_the_journals_of_processes_elsewhere_are_ended_by_who_knows_that_they_are_gone(ws: Workspace) -> None:
    remote, other = (Journal.begin(ws, stage, "town") for stage in ("relevance_learning", "text_region_grounding"))
    for kept in (remote, other):
        (kept.folder / "run.json").write_text(json.dumps(kept.run | {"process": "node7:12:1.00"}))
    journal.bury(ws, ["lost"])
    assert not remote.ended
    journal.bury(ws, ["lost"], elsewhere="relevance_learning")
    assert remote.ended and not other.ended
