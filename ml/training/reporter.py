"""Where a stage's progress goes: stderr, MLflow, and Dagster through Dagster Pipes."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from ml.params import Params
from ml.training.tracking import tracking
from ml.workspace import Workspace
from ml.workspace.remaining import Remaining

if TYPE_CHECKING:
    from dagster_pipes import PipesContext

    from ml.training.engine.checkpoints import Checkpoints, Progress

DAGSTER_SECONDS = 5.0  # between two messages: each becomes an event in Dagster's store, 25 to 100 ms
SHOWN = (
    "train/loss",
    "train/seconds_per_step",
    "val/alignment_accuracy",
    "val/relevance_accuracy",
    "val/grounding_iou",
    "val/top1",
)


@contextmanager
def pipes() -> Iterator["PipesContext | None"]:
    """Dagster's end of this process, where Dagster started it."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        yield None
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as context:
        yield context


class Reporter:
    """Tells of a stage; silent on every process that has not opened it with `tracked`."""

    def __init__(self, stage: str, dagster: "PipesContext | None" = None) -> None:
        self.stage, self.dagster = stage, dagster
        self.run: tracking.Run | None = None
        self.steps = self.step = 0
        self._told = 0.0
        self._remaining = Remaining()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    @contextmanager
    def tracked(
        self, ws: Workspace, params: Params, steps: int, inputs: Mapping[str, str], checkpoints: "Checkpoints"
    ) -> Iterator[None]:
        """An MLflow run around the training, one for all its beginnings. `inputs`: the digests of what is read."""
        self.steps, self.step = steps, checkpoints.saved or 0
        with tracking.start(ws, params, self.stage, checkpoints.folder) as self.run:
            for name, digest in inputs.items():
                self.run.dataset(name, digest)
            try:
                yield
            except KeyboardInterrupt:
                saved = checkpoints.saved
                self.run.stopped = f"terminated at step {self.step}; the next run "
                self.run.stopped += "starts over" if saved is None else f"goes on at {saved}"
                raise

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step."""
        if self.run is None:
            return
        self.step = step
        self.run.metrics(values, step)
        shown = "  ".join(f"{name.partition('/')[2]} {values[name]:.4g}" for name in SHOWN if name in values)
        line = f"{self.stage} {step}/{self.steps}{self._remaining.words(step, self.steps)}  {shown}"
        print(line, file=sys.stderr, flush=True)
        if self.dagster and time.monotonic() - self._told > DAGSTER_SECONDS:
            self._told = time.monotonic()
            self.dagster.log.info(line)

    def resumed(self, step: int) -> None:
        """The stage goes on from a checkpoint."""
        line = f"{self.stage} goes on from step {step} of {self.steps}"
        print(line, file=sys.stderr, flush=True)
        if self.dagster:
            self.dagster.log.info(line)

    def done(self, progress: "Progress") -> None:
        """The stage is trained: keep its history with the run, and tell Dagster which run that is."""
        if self.run is None:
            return
        self.run.table("validation", progress.validation)
        self.run.tag("best_step", str(progress.best["step"]))
        if self.dagster:
            message: dict[str, Any] = {"mlflow_run_id": self.run.id, "best": progress.best}
            self.dagster.report_custom_message(message)
