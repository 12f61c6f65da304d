"""Sends what the journals hold to the store. Sent twice it does not double: a run is found by its journal's name."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ml.errors import UserError, cut
from ml.params import Params
from ml.training.tracking import journal as journals
from ml.training.tracking import naming, page, reach, store
from ml.training.tracking.journal import Event, Journal
from ml.workspace import Workspace, lineage
from ml.workspace.atomic import write_json

BATCH = 1000  # metrics, the most that MLflow takes at once
TOO_MANY = 429  # requests, as HTTP says it
PARAMS = 100  # the same of params
TABLES = "mlflow.loggedArtifacts"  # the tag by which MLflow's page knows that an artifact is a table


@dataclass(frozen=True)
class Place:
    """The store of the params, open."""

    ws: Workspace
    params: Params
    client: Any

    @classmethod
    def open(cls, ws: Workspace, params: Params) -> "Place":
        """Open it.

        Raises:
            UserError: the tracking store cannot be used.
        """
        return cls(ws, params, store.connect(ws, params))


@dataclass(frozen=True)
class Sent:
    """What came of sending a journal: the run it became, and why not all of it is there."""

    journal: str
    stage: str
    run_id: str | None
    refused: str | None = None


@dataclass(frozen=True)
class Target:
    """A run in the store, and the journal that tells of it."""

    place: Place
    journal: Journal
    experiment: str
    run_id: str
    known: Mapping[str, int]  # of a run that goes on: the last step of each metric that was told before

    @property
    def client(self) -> Any:
        """The client of the store."""
        return self.place.client


def send_pending(place: Place) -> list[Sent]:
    """Send the journals of all runs that are over, the oldest first; one that is refused keeps no other waiting.

    Raises:
        UserError: the store went away.
    """
    found = []
    for journal in journals.pending(place.ws):
        with journal.locked() as ours:
            if ours:
                found.append(_whole(place, journal))
    return found


def _whole(place: Place, journal: Journal) -> Sent:
    """Send a journal to its end; one whose process is gone without a word is ended first."""
    stage, process = journal.run["stage"], journal.run["process"]
    if not journal.ended:
        journal.end("FAILED", journals.last_words(process, ()))
    try:
        return Sent(journal.name, stage, send(place, journal))
    except Exception as error:  # MLflow's stores each raise their own
        if not _is_refusal(error):
            raise UserError(reach.unusable(store.tracking_uri(place.ws, place.params), error)) from error
        return Sent(journal.name, stage, journal.sent.get("run_id"), cut(str(error), 200))


def _is_refusal(error: Exception) -> bool:
    """Whether the store is there and will not take it, or the journal itself is broken."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.get_http_status_code() < 500 and error.get_http_status_code() != TOO_MANY
    return isinstance(error, UserError | FileNotFoundError | KeyError)


def send(place: Place, journal: Journal) -> str:
    """Send what a journal holds that was not sent yet, and forget it once its end is sent; the run's id.

    Raises:
        Exception: whatever MLflow raises where the store does not answer, or refuses.
    """
    target, position = _target(place, journal)
    for event, after in _batches(journal, position):
        KINDS[event["kind"]](target, event)
        if event["kind"] == "end":
            journal.remove()
        else:
            journal.note_sent(target.run_id, target.experiment, after, target.known)
    return target.run_id


def _target(place: Place, journal: Journal) -> tuple[Target, int]:
    """The journal's run in the store, and how far it was sent; a store that does not know the run is told all of it."""
    name, sent, run = journal.first, journal.sent, journal.run
    experiment = store.experiment(place.client, place.ws, place.params, run["experiment"])
    found = place.client.search_runs([experiment], f"tags.journal = '{name}'", max_results=1)
    if found:
        made = found[0]
    else:
        tags = {"journal": name, "stage": run["stage"], "process": run["process"], store.WORKSPACE: str(place.ws.root)}
        made = place.client.create_run(experiment, run["began"], tags, run_name=run["stage"])
    run_id = str(made.info.run_id)
    position, known = (sent["position"], sent["known"]) if sent.get("run_id") == run_id else (0, {})
    if found and not position and name != journal.name:
        known = _reopen(place, made, run["process"])
    journal.note_sent(run_id, experiment, position, known)
    return Target(place, journal, experiment, run_id, known), position


def _reopen(place: Place, run: Any, process: str) -> dict[str, int]:
    """Have a run that was ended go on; the last step of each metric, since the steps after a checkpoint come again."""
    client, run_id = place.client, run.info.run_id
    client.set_tag(run_id, "process", process)  # first: a run of a process that is gone is buried
    client.set_tag(run_id, store.WORKSPACE, str(place.ws.root))  # which may have moved
    for name in {journals.ERROR, journals.STOPPED, journals.NOTE} & run.data.tags.keys():
        client.delete_tag(run_id, name)
    client.update_run(run_id, "RUNNING")
    return {name: max(told.step for told in client.get_metric_history(run_id, name)) for name in run.data.metrics}


def _batches(journal: Journal, position: int) -> Iterator[tuple[Event, int]]:
    """The events from a position on, neighbouring metrics put together."""
    values: list[Any] = []
    for event, after in journal.events(position):
        if values and (event["kind"] != "metrics" or len(values) + len(event["values"]) > BATCH):
            yield {"kind": "metrics", "values": values}, position
            values = []
        if event["kind"] == "metrics":
            values, position = [*values, *event["values"]], after
        else:
            yield event, after
    if values:
        yield {"kind": "metrics", "values": values}, position


def _params(target: Target, event: Event) -> None:
    from mlflow.entities import Param

    values, run = event["values"], target.client.get_run(target.run_id)
    items = [Param(name, value) for name, value in values.items() if name not in run.data.params]
    for begin in range(0, len(items), PARAMS):
        target.client.log_batch(target.run_id, params=items[begin : begin + PARAMS])
    if moved := naming.moves({name: run.data.params.get(name, values[name]) for name in values}, values):
        target.client.set_tag(target.run_id, "went_on_with", ", ".join(moved))  # the store keeps a param as it began
    stage = target.journal.run["stage"]
    before = store.run_before(target.client, target.experiment, stage, run.info.start_time)
    target.client.update_run(target.run_id, name=naming.run_name(stage, before and before.data.params, values))


def _metrics(target: Target, event: Event) -> None:
    from mlflow.entities import Metric

    items = [Metric(*value) for value in event["values"] if value[3] > target.known.get(value[0], -1)]
    for begin in range(0, len(items), BATCH):
        target.client.log_batch(target.run_id, metrics=items[begin : begin + BATCH])


def _tag(target: Target, event: Event) -> None:
    target.client.set_tag(target.run_id, event["name"], event["value"])


def _upstream(target: Target, event: Event) -> None:
    """The runs that made what the stage read, as tags: MLflow's page folds the children of a run away."""
    for name, version in event["versions"].items():
        if run := store.newest_maker(target.client, target.experiment, name, version):
            target.client.set_tag(target.run_id, f"upstream.{name}", run)


def _dataset(target: Target, event: Event) -> None:
    from mlflow.entities import Dataset, DatasetInput

    name, source = event["name"], json.dumps({"stage": event["name"]})
    entry = Dataset(name=name, digest=event["digest"][:36], source_type="local", source=source)
    target.client.log_inputs(target.run_id, [DatasetInput(dataset=entry, tags=[])])


def _artifact(target: Target, event: Event) -> None:
    file = target.journal.folder / "files" / event["path"]
    if file.is_dir():
        target.client.log_artifacts(target.run_id, str(file), event["path"])
    else:
        target.client.log_artifact(target.run_id, str(file), event["path"].rpartition("/")[0] or None)


def _table(target: Target, event: Event) -> None:
    """`log_table` would add the rows to those that were sent before."""
    _artifact(target, event)
    known = json.loads(target.client.get_run(target.run_id).data.tags.get(TABLES, "[]"))
    if (entry := {"path": event["path"], "type": "table"}) not in known:
        target.client.set_tag(target.run_id, TABLES, json.dumps([*known, entry]))


def _headlines(target: Target, event: Event) -> None:
    page.prepare(target.client, target.experiment, event["names"])


def _end(target: Target, event: Event) -> None:
    """End the run; where its output still lies in the stage's folder, note whose it is."""
    target.client.set_terminated(target.run_id, event["status"], event["time"])
    stage = target.journal.run["stage"]
    if event["out"] is not None and lineage.data_version(target.place.ws, target.place.ws.stage(stage)) == event["out"]:
        note = {"run_id": target.run_id, "experiment_id": target.experiment}
        write_json(lineage.run_file(target.place.ws, stage), note)


KINDS: dict[str, Callable[[Target, Event], None]] = {
    "params": _params,
    "metrics": _metrics,
    "tag": _tag,
    "upstream": _upstream,
    "dataset": _dataset,
    "artifact": _artifact,
    "table": _table,
    "headlines": _headlines,
    "end": _end,
}
