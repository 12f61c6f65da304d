"""A store that is away, comes back, or does not take the run: the work goes on, and nothing is lost or told twice."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.errors import UserError
from ml.params import Params
from ml.training.launch import launch
from ml.training.launchers.processes import free_port
from ml.training.tracking import courier, journal, reach, sending, store, tracking
from ml.training.tracking.journal import Journal
from ml.workspace import Workspace, lineage
from ml.workspace.settings import load

Make = Callable[..., Workspace]
STAGE = "mask_region_alignment"


def pointed(ws: Workspace, uri: str | None) -> Params:
    """The params with another store, as a user writes them."""
    raw = yaml.safe_load(ws.params_file.read_text())
    raw["tracking"]["uri"] = uri
    ws.params_file.write_text(yaml.safe_dump(raw))
    return load(ws.params_file)


def work(ws: Workspace, params: Params, stage: str = STAGE, text: str = "weights") -> None:
    with tracking.start(ws, params, stage) as run:
        for step in range(3):
            run.metrics({"loss": 3.0 - step}, step)
        run.table("validation", [{"step": 1}])
        run.dataset("sa_000000.labels", "0123456789abcdef0123456789abcdef")
        ws.stage(stage).mkdir(parents=True, exist_ok=True)
        (ws.stage(stage) / "model.safetensors").write_text(text)


def runs_of(ws: Workspace, params: Params) -> list[Any]:
    place = sending.Place.open(ws, params)
    return list(place.client.search_runs([store.experiment(place.client, ws, params)]))


def test_a_run_with_its_store_away_is_sent_later_once(
    workspace: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "FLUSH_SECONDS", 0.1)
    ws, uri = workspace(), f"http://127.0.0.1:{free_port()}"
    begun = time.monotonic()
    work(ws, pointed(ws, uri))
    work(ws, pointed(ws, uri), "text_region_grounding")
    assert time.monotonic() - begun < 30
    lines = [line for line in capsys.readouterr().err.splitlines() if "arrcoc sync" in line]
    assert len(lines) == 2 and "2 runs are pending in data/.keys/journal" in lines[1] and uri in lines[1]
    assert all(len(line) < 300 for line in lines)
    assert store.maker(ws, STAGE) == {}
    with pytest.raises(UserError, match=r"not usable as MLflow's store .*refused"):
        sending.Place.open(ws, load(ws.params_file))
    params = pointed(ws, None)
    place = sending.Place.open(ws, params)
    sent = sending.send_pending(place)
    assert [(run.stage, run.refused) for run in sent] == [(STAGE, None), ("text_region_grounding", None)]
    assert journal.journals(ws) == [] and sending.send_pending(place) == []
    later, first = runs_of(ws, params)
    assert first.info.run_id == store.run_id(ws, params, STAGE) == store.maker(ws, STAGE)["run_id"]
    assert later.data.tags["upstream.mask_region_alignment"] == first.info.run_id
    assert first.info.status == "FINISHED" and first.data.metrics["loss"] == 1.0
    assert first.info.end_time - first.info.start_time < 30_000  # when it ran, not when it was sent
    folder = ws.root / "mlflow" / "artifacts" / first.info.run_id / "artifacts"
    assert json.loads((folder / "lineage.json").read_text())[STAGE]["out"] == first.data.tags["data_version"]


def test_what_is_sent_twice_does_not_double(workspace: Make) -> None:
    ws = workspace()
    params = pointed(ws, f"http://127.0.0.1:{free_port()}")
    work(ws, params)
    (kept,) = journal.journals(ws)
    place = sending.Place.open(ws, pointed(ws, None))
    end = (kept.folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    (kept.folder / "events.jsonl").write_bytes(b"".join(end[:-1]))  # as if killed before the end was written
    first = sending.send(place, kept)
    (kept.folder / "sent.json").unlink()  # and before it was noted how far it was sent
    (kept.folder / "events.jsonl").write_bytes(b"".join(end))
    assert sending.send(place, kept) == first
    (run,) = runs_of(ws, load(ws.params_file))
    assert [metric.value for metric in place.client.get_metric_history(first, "loss")] == [3.0, 2.0, 1.0]
    table = ws.root / "mlflow" / "artifacts" / first / "artifacts" / "tables" / "validation.json"
    assert json.loads(table.read_text())["data"] == [[1]]
    assert len(run.inputs.dataset_inputs) == 1 and run.info.status == "FINISHED"
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [{"path": "tables/validation.json", "type": "table"}]


def test_the_next_run_sends_what_is_pending(workspace: Make) -> None:
    ws = workspace()
    work(ws, pointed(ws, f"http://127.0.0.1:{free_port()}"))
    work(ws, pointed(ws, None), "text_region_grounding")
    assert journal.journals(ws) == []
    assert [run.data.tags["stage"] for run in runs_of(ws, load(ws.params_file))] == ["text_region_grounding", STAGE]


def test_a_journal_that_the_store_refuses_holds_up_no_other(workspace: Make) -> None:
    ws = workspace()
    params = load(ws.params_file)
    broken = Journal.begin(ws, STAGE, params.tracking.experiment)
    broken.append("params", values={"a name that MLflow\ndoes not take": "1"})
    broken.end("FINISHED")
    work(ws, params)
    assert store.run_id(ws, params, STAGE) is not None
    assert journal.journals(ws) == [broken]
    (refused,) = sending.send_pending(sending.Place.open(ws, params))
    assert refused.refused and "name" in refused.refused


def test_a_store_that_breaks_in_the_middle_ends_no_work(
    workspace: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(courier, "FLUSH_SECONDS", 0.1)
    ws = workspace()
    params = load(ws.params_file)
    with tracking.start(ws, params, STAGE) as run:
        assert run.id
        monkeypatch.setattr(sending, "send", lambda *_: 1 / 0)
        time.sleep(0.5)
        run.metrics({"loss": 1.0})
    monkeypatch.undo()
    assert "division by zero; the work goes on" in capsys.readouterr().err
    (sent,) = sending.send_pending(sending.Place.open(ws, params))
    assert sent.run_id == run.id and runs_of(ws, params)[0].data.metrics["loss"] == 1.0


def test_a_deleted_experiment_is_told_before_the_work(workspace: Make) -> None:
    ws = workspace()
    params = load(ws.params_file)
    place = sending.Place.open(ws, params)
    number = store.experiment(place.client, ws, params)
    place.client.delete_experiment(number)
    told = rf"^tracking\.experiment: .*sqlite:///.*mlflow experiments restore --experiment-id {number}, or set another"
    with pytest.raises(UserError, match=told) as error, tracking.start(ws, params, STAGE):
        pytest.fail("the work began")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=told):
        launch(STAGE, ws, params)
    assert journal.journals(ws) == []


def test_an_address_is_probed_in_seconds_and_shown_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    port = free_port()
    for uri in (f"http://me:secret@127.0.0.1:{port}", "http://127.0.0.1:99999"):
        with pytest.raises(UserError, match=r"start the server or set tracking\.uri") as error:
            reach.probe(uri)
        assert "secret" not in str(error.value)
    reach.probe("sqlite:///nowhere")
    assert reach.shown("postgresql://me:secret@host/db") == "postgresql://host/db"


def test_the_note_of_an_earlier_run_does_not_stand_for_one_that_is_pending(workspace: Make) -> None:
    ws = workspace()
    work(ws, load(ws.params_file))
    before = store.maker(ws, STAGE)
    work(ws, pointed(ws, f"http://127.0.0.1:{free_port()}"), text="others")
    assert before and not Path(lineage.run_file(ws, STAGE)).exists()
