"""One MLflow run a stage: params, metrics, pictures, and what the run was made from.

Everything MLflow does happens on one background thread: its import takes 1.4 s, a first store 2 to 6 s, a call 20 ms,
and no training step waits for any of it. What goes wrong there is raised at the next call.
"""

import json
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml.params import Params
from ml.training.tracking import provenance
from ml.training.tracking.store import ERROR_LINES, bury_in, connect, experiment, newest_maker, process, tracking_uri
from ml.workspace import Workspace, lineage, stages
from ml.workspace.atomic import write_json

FLUSH_SECONDS = 3.0
SAMPLING_SECONDS = 5.0  # of the system metrics
BATCH = 1000  # metrics, the most that MLflow takes at once
DATA = "training_set"  # the stage whose output is kept with every run that reads it


@contextmanager
def start(ws: Workspace, params: Params, stage: str) -> Iterator["Run"]:
    """Open a run of `stage`; it ends as FINISHED, FAILED with the last lines of the error, or KILLED.

    Raises:
        UserError: the tracking store cannot be used.
    """
    with ThreadPoolExecutor(1, "mlflow") as thread:
        run = Run(thread, thread.submit(_Session, ws, params, stage))
        try:
            yield run
            run.close()
        except BaseException as error:
            # The store may be what failed: the error itself matters more than that it was not recorded.
            interrupted = not isinstance(error, Exception)
            run.abandon("KILLED" if interrupted else "FAILED", "".join(traceback.format_exception(error)))
            raise


def metric_name(name: str) -> str:
    """A score's name as MLflow takes it, without + and @: `refcoco+/val/acc@0.5` is `refcoco_plus/val/acc_at_0.5`."""
    return name.replace("+", "_plus").replace("@", "_at_")


class Run:
    """An open run. Every method returns at once; metrics are sent together every few seconds."""

    def __init__(self, thread: ThreadPoolExecutor, session: "Future[_Session]") -> None:
        self._thread, self._session = thread, session
        self._pending: list[Future[None]] = []
        self._buffer: list[tuple[str, float, int, int]] = []
        self._flushed = time.monotonic()

    @property
    def id(self) -> str:
        """The run's id; waits until the store is open."""
        return self._session.result().run_id

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record numbers at a step, under their `metric_name`."""
        now = int(time.time() * 1000)
        self._buffer += [(metric_name(name), float(value), now, step) for name, value in values.items()]
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send the buffered metrics."""
        buffer, self._buffer, self._flushed = self._buffer, [], time.monotonic()
        for begin in range(0, len(buffer), BATCH):
            self._submit(_Session.metrics, buffer[begin : begin + BATCH])

    def picture(self, name: str, png: bytes) -> None:
        """Keep a PNG as artifact `pictures/NAME`."""
        self._submit(_Session.picture, name, png)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows as artifact `tables/NAME.json`, which MLflow shows as a table."""
        self._submit(_Session.table, name, list(rows))

    def dataset(self, name: str, digest: str) -> None:
        """Record an input by its name and the digest of its bytes."""
        self._submit(_Session.dataset, name, digest)

    def tag(self, name: str, value: str) -> None:
        """Set a tag, for example `data_version`."""
        self._submit(_Session.tag, name, value)

    def close(self) -> None:
        """Send all there is and end the run as FINISHED; the stage's output lies in its place by now.

        Raises:
            UserError: the tracking store cannot be used.
        """
        self.flush()
        self._submit(_Session.finish)
        for future in self._pending:
            future.result()

    def abandon(self, status: str, error: str) -> None:
        """End the run without raising: `error` is on its way to the user and must not be replaced."""
        if self._session.exception() is None:
            self._thread.submit(_Session.fail, self._session.result(), status, error)

    def _submit(self, function: Callable[..., None], *arguments: Any) -> None:
        for future in (finished := [future for future in self._pending if future.done()]):
            future.result()
        self._pending = [future for future in self._pending if future not in finished]
        self._pending.append(self._thread.submit(lambda: function(self._session.result(), *arguments)))


class _Session:
    """The MLflow side of a run; lives on the background thread."""

    def __init__(self, ws: Workspace, params: Params, stage: str) -> None:
        self.ws, self.stage, self.client = ws, stages.stage(ws, stage), connect(ws, params)
        self.experiment = experiment(self.client, ws, params)
        bury_in(self.client, self.experiment, ())
        self.made_from = provenance.made_from(ws, params, self.stage)
        tags = provenance.commit(ws) | {
            "stage": stage,
            "mlflow.source.name": f"arrcoc stage {stage}",
            "process": process(),
        }
        tags |= provenance.dagster() | self._upstream()
        self.run_id: str = self.client.create_run(self.experiment, run_name=stage, tags=tags).info.run_id
        self._log_params(provenance.knobs(ws, params, stage))
        if diff := provenance.diff(ws):
            self.client.log_text(self.run_id, diff, "dirty.diff")
        if DATA in self.stage.upstream and ws.stage(DATA).is_dir():  # manifests and data cards
            self.client.log_artifacts(self.run_id, str(ws.stage(DATA)), DATA)
        self.monitor = _system_metrics(self.run_id, tracking_uri(ws, params))

    def _upstream(self) -> dict[str, str]:
        """The runs that made what the stage reads; the last of them is the parent."""
        makers = {name: newest_maker(self.client, self.experiment, self.ws, name) for name in self.stage.upstream}
        found = {f"upstream.{name}": run for name, run in makers.items() if run}
        return found | ({"mlflow.parentRunId": list(found.values())[-1]} if found else {})

    def _log_params(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        items = [Param(name, value) for name, value in values.items()]
        for begin in range(0, len(items), 100):  # the most that MLflow takes at once
            self.client.log_batch(self.run_id, params=items[begin : begin + 100])

    def metrics(self, values: Sequence[tuple[str, float, int, int]]) -> None:
        from mlflow.entities import Metric

        self.client.log_batch(self.run_id, metrics=[Metric(*value) for value in values])

    def picture(self, name: str, png: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / Path(name).with_suffix(".png").name
            file.write_bytes(png)
            self.client.log_artifact(self.run_id, str(file), "pictures")

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        columns = {key: [row.get(key) for row in rows] for key in dict.fromkeys(k for row in rows for k in row)}
        self.client.log_table(self.run_id, columns, f"tables/{name}.json")

    def dataset(self, name: str, digest: str) -> None:
        from mlflow.entities import Dataset, DatasetInput

        entry = Dataset(name=name, digest=digest[:36], source_type="local", source=json.dumps({"stage": name}))
        self.client.log_inputs(self.run_id, [DatasetInput(dataset=entry, tags=[])])

    def tag(self, name: str, value: str) -> None:
        self.client.set_tag(self.run_id, name, value)

    def finish(self) -> None:
        """Record the output by its md5, and what it and all above it were made from."""
        out = lineage.data_version(self.ws, self.ws.stage(self.stage.name))
        line = lineage.above(self.ws, self.stage.upstream) | {self.stage.name: {**self.made_from, "out": out}}
        self.client.log_text(self.run_id, json.dumps(line, indent=1), "lineage.json")
        self.client.set_tag(self.run_id, "data_version", out or "none")
        note = {"run_id": self.run_id, "experiment_id": self.experiment}
        write_json(lineage.run_file(self.ws, self.stage.name), note)
        self.close("FINISHED")

    def close(self, status: str) -> None:
        self.monitor.finish()
        self.client.set_terminated(self.run_id, status)

    def fail(self, status: str, error: str) -> None:
        self.client.set_tag(self.run_id, "error", "\n".join(error.strip().splitlines()[-ERROR_LINES:]))
        self.close(status)


def _system_metrics(run: str, uri: str) -> Any:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run, sampling_interval=SAMPLING_SECONDS, tracking_uri=uri)
    monitor.start()
    return monitor
