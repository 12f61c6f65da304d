"""One MLflow run a stage: params, metrics, pictures, and what the run was made from.

Everything MLflow does happens on one background thread: its import takes 1.4 s, a first store 2 to 6 s, a call 20 ms,
and no training step waits for any of it. What goes wrong there is raised at the next call.

A run is found again by the bytes it made: its tag `data_version` is the md5 that DVC records of its stage's output.
"""

import json
import logging
import os
import socket
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace, lineage, stages
from ml.workspace.atomic import write_json
from ml.workspace.keys import file_md5

FLUSH_SECONDS = 3.0
SAMPLING_SECONDS = 5.0  # of the system metrics
BATCH = 1000  # metrics, the most that MLflow takes at once
ERROR_LINES = 20
DATA = "training_set"  # the stage whose output is kept with every run that reads it
DAGSTER_RUN = "ARRCOC_DAGSTER_RUN"  # names the Dagster run that a stage belongs to, to it and to its processes
DAGSTER_PAGE, MLFLOW_PAGE = "http://127.0.0.1:3000", "http://127.0.0.1:5000"  # where `arrcoc ui` serves them
UNTRACKED_CODE = ("*.py", "*.yaml")  # files that git does not know and that go into the diff of a dirty work tree


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


def run_id(ws: Workspace, params: Params, stage: str) -> str | None:
    """The id of the newest finished run that made what lies in the stage's folder; None where there is none.

    Raises:
        UserError: the tracking store cannot be used.
    """
    client = connect(ws, params)
    experiment = client.get_experiment_by_name(params.tracking.experiment)
    return _maker(client, experiment.experiment_id, ws, stage) if experiment else None


def bury(ws: Workspace, params: Params, last_lines: Sequence[str] = ()) -> None:
    """Mark as FAILED what is recorded as running here though its process is gone: killed, out of memory, power lost.

    Raises:
        UserError: the tracking store cannot be used.
    """
    client = connect(ws, params)
    if experiment := client.get_experiment_by_name(params.tracking.experiment):
        _bury(client, experiment.experiment_id, last_lines)


def maker(ws: Workspace, stage: str) -> dict[str, str]:
    """The MLflow run that made a stage's output: {"run_id", "experiment_id"}; {} where the stage is not tracked."""
    try:
        return dict(json.loads(lineage.run_file(ws, stage).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def page(ws: Workspace, params: Params, stage: str) -> str | None:
    """The address of the MLflow page of the run that made a stage's output, as `arrcoc ui` serves it."""
    if not (note := maker(ws, stage)):
        return None
    server = params.tracking.uri if (params.tracking.uri or "").startswith("http") else MLFLOW_PAGE
    return f"{server}/#/experiments/{note['experiment_id']}/runs/{note['run_id']}"


def tracking_uri(ws: Workspace, params: Params) -> str:
    """The tracking server of the params, or the embedded store under `mlflow/`."""
    return params.tracking.uri or f"sqlite:///{ws.root / 'mlflow' / 'mlflow.db'}"


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
        self.experiment = _experiment(self.client, ws, params)
        _bury(self.client, self.experiment, ())
        self.made_from = _made_from(ws, params, self.stage)
        tags = _provenance(ws) | {"stage": stage, "mlflow.source.name": f"arrcoc stage {stage}", "process": _process()}
        tags |= _dagster() | self._upstream()
        self.run_id: str = self.client.create_run(self.experiment, run_name=stage, tags=tags).info.run_id
        self._log_params(_knobs(ws, params, stage))
        if diff := _diff(ws):
            self.client.log_text(self.run_id, diff, "dirty.diff")
        if DATA in self.stage.upstream and ws.stage(DATA).is_dir():  # manifests and data cards
            self.client.log_artifacts(self.run_id, str(ws.stage(DATA)), DATA)
        self.monitor = _system_metrics(self.run_id, tracking_uri(ws, params))

    def _upstream(self) -> dict[str, str]:
        """The runs that made what the stage reads; the last of them is the parent."""
        makers = {name: _maker(self.client, self.experiment, self.ws, name) for name in self.stage.upstream}
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


def connect(ws: Workspace, params: Params) -> Any:
    """An `MlflowClient` on the store of the params.

    Raises:
        UserError: the tracking store cannot be used.
    """
    quiet = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    os.environ.update(quiet, MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")  # read when MLflow is imported
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for name in ("alembic", "mlflow.store.db.utils", "mlflow.system_metrics"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = tracking_uri(ws, params)
    if params.tracking.uri is None:
        (ws.root / "mlflow").mkdir(exist_ok=True)
    try:
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise UserError(_unusable(uri, error)) from error
    return client


def _unusable(uri: str, error: Exception) -> str:
    way_out = "move the file away and run again" if uri.startswith("sqlite") else "start the server or set tracking.uri"
    return f"{uri}: not usable as MLflow's store ({' '.join(str(error).split())[:200]}); {way_out}"


def _experiment(client: Any, ws: Workspace, params: Params) -> str:
    name = params.tracking.experiment
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    embedded = params.tracking.uri is None
    return str(client.create_experiment(name, (ws.root / "mlflow" / "artifacts").as_uri() if embedded else None))


def _maker(client: Any, experiment: str, ws: Workspace, stage: str) -> str | None:
    """The newest finished run whose output is what lies in the stage's folder."""
    version = lineage.data_version(ws, ws.stage(stage))
    wanted = f"tags.stage = '{stage}' and tags.data_version = '{version}' and attributes.status = 'FINISHED'"
    found = client.search_runs([experiment], wanted, max_results=1, order_by=["attributes.start_time DESC"])
    return str(found[0].info.run_id) if found else None


def _bury(client: Any, experiment: str, last_lines: Sequence[str]) -> None:
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        host, pid, began = run.data.tags.get("process", "::").split(":")
        if host == socket.gethostname() and not _alive(int(pid), began):
            last = "\n".join([*last_lines[-ERROR_LINES:], f"process {pid} ended without a word"])
            client.set_tag(run.info.run_id, "error", last)
            client.set_terminated(run.info.run_id, "FAILED")


def _process() -> str:
    """Host, id and start of this process: an id alone is given again."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def _alive(pid: int, began: str) -> bool:
    try:
        return f"{psutil.Process(pid).create_time():.2f}" == began
    except psutil.Error:
        return False


def _dagster() -> dict[str, str]:
    if not (run := os.environ.get(DAGSTER_RUN)):
        return {}
    return {"dagster_run_id": run, "mlflow.note.content": f"[Dagster run {run[:8]}]({DAGSTER_PAGE}/runs/{run})"}


def _made_from(ws: Workspace, params: Params, stage: stages.Stage) -> lineage.Made:
    deps = {path: lineage.data_version(ws, ws.root / path) for path in (*stage.code, *stage.data)}
    return {"deps": deps, "params": stage.param_values(params), "files": stage.code_files(ws)}


def _knobs(ws: Workspace, params: Params, stage: str) -> dict[str, str]:
    """The params that a stage and all above it are made with: {"filtered_masks.filter.predicted_iou": "0.88", ...}.

    Each is there once, under the first stage that reads it, so that two runs differ in one line where one knob moved;
    again under a later stage only where that one read another value, since what lies above was not made anew.
    """
    declared = stages.load(ws)
    knobs: dict[str, str] = {}
    values: dict[str, str] = {}
    made = lineage.above(ws, declared[stage].upstream)
    for name in stages.above(declared, [stage]):
        read = _flatten(made[name]["params"] if name in made else declared[name].param_values(params))
        moved = {key: value for key, value in read.items() if values.get(key) != value}
        knobs |= {f"{name}.{key.removeprefix(f'{name}.')}": value for key, value in moved.items()}
        values |= moved
    return knobs


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _provenance(ws: Workspace) -> dict[str, str]:
    """Git commit, whether the tree differs from it, and the md5 of dvc.lock, where there are such."""
    tags = {}
    if commit := _git(ws, "rev-parse", "HEAD"):
        tags = {"git_commit": commit, "mlflow.source.git.commit": commit}
        tags["git_dirty"] = str(bool(_git(ws, "status", "--porcelain", "--", ".", ":!dvc.lock"))).lower()
    if (lock := ws.root / "dvc.lock").is_file():
        tags["dvc_lock_md5"] = file_md5(lock)
    return tags


def _diff(ws: Workspace) -> str:
    """How the work tree differs from the commit: a patch, code that git does not know yet included."""
    added = _git(ws, "ls-files", "--others", "--exclude-standard", "--", *UNTRACKED_CODE).splitlines()
    news = [_git(ws, "diff", "--no-index", "--", os.devnull, name, codes=(0, 1)) for name in added]
    return "\n".join(filter(None, [_git(ws, "diff", "HEAD", "--", ".", ":!dvc.lock"), *news]))


def _git(ws: Workspace, *arguments: str, codes: Sequence[int] = (0,)) -> str:
    try:
        # A diff may hold files of any encoding.
        done = subprocess.run(
            ["git", *arguments], cwd=ws.root, capture_output=True, text=True, errors="replace", timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here: the run simply has no commit
        return ""
    return done.stdout.strip() if done.returncode in codes else ""


def _system_metrics(run: str, uri: str) -> Any:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run, sampling_interval=SAMPLING_SECONDS, tracking_uri=uri)
    monitor.start()
    return monitor
