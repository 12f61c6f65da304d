"""One MLflow run a stage: params, metrics, pictures, and what the run was made from.

All of it goes to a journal on disk, and a background thread sends what the journal holds: MLflow's import takes 1.4 s,
a first store 2 to 6 s, a call 20 ms, and no training step waits for any of it. Where the store does not answer, the
work goes on and the journal stays; the next run with a store that answers, or `arrcoc sync`, sends it.
"""

import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.params import Params
from ml.training.tracking import journal as journals
from ml.training.tracking import provenance, store
from ml.training.tracking.courier import Courier, tell
from ml.training.tracking.journal import Journal
from ml.workspace import Workspace, lineage, stages
from ml.workspace.atomic import write_json

DATA = "training_set"  # the stage whose output is kept with every run that reads it
TRAINING = "training"  # the group of the stages that train: in their runs alone the machine's load is of interest


@contextmanager
def start(ws: Workspace, params: Params, stage: str, resume: Path | None = None) -> Iterator["Run"]:
    """Open a run of `stage`; it ends as FINISHED, FAILED with the last lines of the error, or KILLED.

    Args:
        resume: the folder of what an interrupted stage goes on from; its run is opened again.

    Raises:
        UserError: the experiment is deleted, or the embedded store is no database.
    """
    store.require_active(ws, params)
    journal = _begin(ws, params, stage, resume / "run.json" if resume else None)
    with journal.locked():
        run = Run(ws, params, stages.stage(ws, stage), journal)
        try:
            run.begin()
            yield run
            run.finish()
        except BaseException as error:
            with suppress(UserError):  # a full disk, which takes no last words; the run is seen to be over without
                if isinstance(error, Exception):
                    journal.end("FAILED", "".join(traceback.format_exception(error)))
                else:
                    journal.stop(run.stopped, provenance.pages(stage).get(journals.NOTE, ""))
            raise
        finally:
            run.courier.close()


def _begin(ws: Workspace, params: Params, stage: str, note: Path | None) -> Journal:
    """A journal for a run; where `note` names the journal of one that was interrupted, it goes on with that run."""
    try:
        first = json.loads(note.read_text(encoding="utf-8"))["journal"] if note else None
    except (OSError, ValueError):  # none, or cut short by a crash
        first = None
    journal = Journal.begin(ws, stage, params.tracking.experiment, first)
    if note:
        write_json(note, {"journal": journal.first})
    return journal


def metric_name(name: str) -> str:
    """A score's name as MLflow takes it, without + and @: `refcoco+/val/acc@0.5` is `refcoco_plus/val/acc_at_0.5`."""
    return name.replace("+", "_plus").replace("@", "_at_")


def spelled(name: str) -> str:
    """A score's name as tables have it, from MLflow's."""
    return name.replace("_plus", "+").replace("_at_", "@")


class Run:
    """An open run. Every method returns as soon as its line is on the disk.

    `stopped` is what is told of it where it is terminated.
    """

    stopped = "terminated; the next run starts over"

    def __init__(self, ws: Workspace, params: Params, stage: stages.Stage, journal: Journal) -> None:
        self.ws, self.params, self.stage, self.journal = ws, params, stage, journal
        self.made_from = provenance.made_from(ws, params, stage)
        self.courier = Courier(ws, params, journal, sampling=stage.group == TRAINING)

    def begin(self) -> None:
        """Write down what the run is made from, before the work, and begin to send."""
        commit = provenance.commit(self.ws)
        if warning := commit.get("git_warning"):
            tell(f"{self.stage.name}: {warning}")
        tags = commit | provenance.pages(self.stage.name) | {"mlflow.source.name": f"arrcoc stage {self.stage.name}"}
        for name, value in tags.items():
            self.tag(name, value)
        versions = {name: lineage.data_version(self.ws, self.ws.stage(name)) for name in self.stage.upstream}
        self.journal.append("upstream", versions=versions)
        knobs = provenance.knobs(self.ws, self.params, self.stage.name)
        if self.stage.group == TRAINING:
            knobs |= provenance.places(self.params, self.stage.name)
        self.journal.append("params", values=knobs)
        if diff := provenance.diff(self.ws):
            self.journal.keep("dirty.diff", diff.encode())
        if DATA in self.stage.upstream and self.ws.stage(DATA).is_dir():  # manifests and data cards
            self.journal.keep_folder(DATA, self.ws.stage(DATA))
        self.courier.start()

    @property
    def id(self) -> str | None:
        """The run's id; waits until the store has answered once, None where it did not."""
        self.courier.tried.wait()
        return self.courier.run_id or self.journal.sent.get("run_id")

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record numbers at a step, under their `metric_name`."""
        self.journal.metrics({metric_name(name): float(value) for name, value in values.items()}, step)

    def picture(self, name: str, png: bytes) -> None:
        """Keep a PNG as artifact `pictures/NAME`."""
        self.journal.keep(f"pictures/{Path(name).with_suffix('.png').name}", png)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows as artifact `tables/NAME.json`, which MLflow shows as a table."""
        self.journal.keep(f"tables/{name}.json", journals.table(rows), "table")

    def headlines(self, names: Sequence[str]) -> None:
        """Have the store's view of all scores begin with these metrics, in this order."""
        self.journal.append("headlines", names=[metric_name(name) for name in names])

    def dataset(self, name: str, digest: str) -> None:
        """Record an input by its name and the digest of its bytes."""
        self.journal.append("dataset", name=name, digest=digest)

    def tag(self, name: str, value: str) -> None:
        """Set a tag, for example `best_step`."""
        self.journal.append("tag", name=name, value=value)

    def finish(self) -> None:
        """Record the output, which lies in its place by now, by its md5, and what all of its line was made from."""
        out = lineage.data_version(self.ws, self.ws.stage(self.stage.name))
        line = lineage.above(self.ws, self.stage.upstream) | {self.stage.name: {**self.made_from, "out": out}}
        self.journal.keep("lineage.json", json.dumps(line, indent=1).encode())
        self.tag("data_version", out or "none")
        lineage.run_file(self.ws, self.stage.name).unlink(missing_ok=True)  # of the run before; sending notes this one
        self.journal.end("FINISHED", out=out or "none")
