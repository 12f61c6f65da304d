"""The MLflow runs that `arrcoc trace` and `arrcoc compare` are asked about, and what they were made from."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.params import Params
from ml.training.tracking import sending, store
from ml.workspace import Workspace, lineage, stages
from ml.workspace.lineage import Made
from ml.workspace.snapshot import Snapshot

MODEL = "model"
SCORES = "benchmark_scores"


@dataclass(frozen=True)
class Traced:
    """A run, and the workspace whose stages it belongs to.

    Without a run (of data that DVC brought, where the store has none of theirs) the line is that of the records beside
    the data and of `dvc.lock`, as far as they go.
    """

    ws: Workspace
    params: Params
    client: Any
    run: Any
    made: str = ""  # the stage whose output is followed, where there is no run

    @property
    def id(self) -> str:
        """MLflow's id of the run; "" without one."""
        return str(self.run.info.run_id) if self.run else ""

    @property
    def stage(self) -> str:
        """The stage that the run, or the data, is of."""
        return str(self.run.data.tags.get("stage", "")) if self.run else self.made

    @cached_property
    def line(self) -> dict[str, Made]:
        """What its stage and all stages above it were made from, in order, as recorded when it ended.

        Raises:
            UserError: the run did not end, or its record is gone.
        """
        if not self.run:
            return lineage.above(self.ws, [self.made])
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self.client.download_artifacts(self.id, "lineage.json", folder)
            except Exception as error:  # MLflow's stores each raise their own
                state = self.run.info.status
                raise UserError(
                    f"run {self.id} ({state}) has no lineage.json; only a finished stage has one"
                ) from error
            made = json.loads(Path(path).read_text(encoding="utf-8"))
        return {name: made[name] for name in [*stages.load(self.ws), *made] if name in made}

    @cached_property
    def makers(self) -> dict[str, str]:
        """The run ids of its stage and of the tracked stages above it."""
        found, todo = {}, [self.run] if self.run else []
        while todo:
            run = todo.pop()
            found[run.data.tags["stage"]] = run.info.run_id
            above = [run for name, run in run.data.tags.items() if name.startswith("upstream.")]
            todo += [self.client.get_run(run) for run in above if run not in found.values()]
        return found


def find(ws: Workspace, params: Params, subject: str) -> Traced:
    """The run that a subject names: `model` (the released one), a score such as `refcoco/val/acc@0.5`, or a run id.

    The id may be cut short. A score means the run that made the scores lying here.

    Raises:
        UserError: it names no run, or the tracking store cannot be used.
    """
    place = sending.Place.open(ws, params)
    sending.send_pending(place)
    store.bury(ws, params)
    client = place.client
    made = {MODEL: "released_model"}.get(subject) or (SCORES if metric(ws, subject) is not None else "")
    run_id = store.run_id(ws, params, made) if made == SCORES else None
    if made != SCORES:
        run_id = _released(client, params) if subject == MODEL else _by_prefix(client, params, subject)
    if run_id is None and not ws.stage(made).is_dir():
        name, alias = params.release.model_name, params.release.alias
        raise UserError(f"no model {name!r} with alias {alias!r} is registered; arrcoc run releases one")
    return Traced(ws, params, client, client.get_run(run_id) if run_id else None, made)


def metric(ws: Workspace, name: str) -> dict[str, Any] | None:
    """A score by its name: {"name", "value", "interval"}; None where there is none of that name."""
    from orchestration.results import scores

    benchmark, _, short = name.rpartition("/")
    try:
        found = scores(ws)
        value = found["scores"][benchmark][short]
    except (KeyError, UserError):
        return None
    return {"name": name, "value": value, "interval": found["intervals"].get(benchmark, {}).get(short)}


def listing(ws: Workspace, path: str, version: str) -> dict[str, str]:
    """The md5 of each file of a stage's output at a version, from the work tree or from DVC's cache.

    Raises:
        UserError: that version is neither here nor there.
    """
    now = Snapshot(ws)
    if now.version(ws.root / path) == version:
        return now.listing(ws.root / path)
    try:
        entries = json.loads(_cached(ws, version).read_text(encoding="utf-8"))
    except OSError as error:
        where = "neither here nor in DVC's cache; dvc pull may have it"
        raise UserError(f"{path} with md5 {version} is {where}") from error
    return {entry["relpath"]: entry["md5"] for entry in entries}


def files(ws: Workspace, path: str, version: str) -> dict[str, Path]:
    """Where the bytes of each file of a stage's output at a version lie, by its name.

    Raises:
        UserError: that version is neither here nor in DVC's cache.
    """
    here = lineage.data_version(ws, ws.root / path) == version
    return {
        name: ws.root / path / name if here else _cached(ws, md5) for name, md5 in listing(ws, path, version).items()
    }


def _cached(ws: Workspace, md5: str) -> Path:
    from dvc.repo import Repo

    with Repo(str(ws.root)) as repo:
        return Path(repo.cache.local.oid_to_path(md5))


def _released(client: Any, params: Params) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_model_version_by_alias(params.release.model_name, params.release.alias)
    except MlflowException:  # not registered in this store
        return None
    return str(version.tags.get(store.RELEASED_BY, version.run_id))


def _all_ids(client: Any, experiment: str) -> Iterator[str]:
    """The ids of all runs; a search answers a page at a time."""
    token = None
    while token != "":
        page = client.search_runs([experiment], page_token=token)
        yield from (run.info.run_id for run in page)
        token = page.token or ""


def _by_prefix(client: Any, params: Params, prefix: str) -> str:
    experiment = client.get_experiment_by_name(params.tracking.experiment)
    ids = _all_ids(client, experiment.experiment_id) if experiment else ()
    found = [run_id for run_id in ids if run_id.startswith(prefix)]
    if len(found) != 1:
        what = f"{len(found)} runs begin so" if found else "no such run and no such score"
        raise UserError(f"{prefix!r}: {what}; give model, a run id or a score (arrcoc report lists both)")
    return str(found[0])
