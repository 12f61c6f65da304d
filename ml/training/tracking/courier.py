"""The background thread of a run: sends its journal every few seconds, and goes on trying where nobody answers."""

import sys
import threading
import time
from typing import Any

from ml.errors import UserError
from ml.params import Params
from ml.training.tracking import reach, sending, store
from ml.training.tracking.journal import Journal, pending
from ml.workspace import Workspace

FLUSH_SECONDS = 3.0
SAMPLING_SECONDS = 5.0  # of the system metrics
RETRY_SECONDS = 15.0  # between two tries of a store that does not answer


def tell(line: str) -> None:
    """Say something on stderr that is no error."""
    print(f"arrcoc: {line}", file=sys.stderr, flush=True)


class Courier(threading.Thread):
    """Carries a journal to the store. `trouble` says in one line why the store has not all of it."""

    def __init__(self, ws: Workspace, params: Params, journal: Journal, sampling: bool) -> None:
        """`sampling`: whether the machine's load is told too."""
        super().__init__(name="mlflow", daemon=True)  # a second Ctrl-C does not wait for it
        self.ws, self.params, self.journal, self.sampling = ws, params, journal, sampling
        self.tried = threading.Event()  # whether the store has answered, or has not, once
        self.trouble = ""
        self.run_id: str | None = None
        self._closing = threading.Event()
        self._place: sending.Place | None = None
        self._monitor: Any = None
        self._failed = self._next_sample = 0.0

    def close(self) -> None:
        """Send all there is, as far as the store answers; the journal is complete by now."""
        self._closing.set()
        if self.ident is None:  # the run broke off before its first line was sent
            self.start()
        self.join()
        if not self.journal.folder.is_dir():
            return
        count = len(pending(self.ws))
        runs, them = ("1 run is", "it") if count == 1 else (f"{count} runs are", "them")
        tell(f"{self.trouble[:200]}; {runs} pending in data/.keys/journal: arrcoc sync sends {them}")

    def run(self) -> None:
        """Send until the run is over."""
        while not self._closing.is_set():
            if not self.trouble or time.monotonic() > self._failed + RETRY_SECONDS:
                self._try()
            self._closing.wait(FLUSH_SECONDS)
        if not self.trouble or time.monotonic() > self._failed + FLUSH_SECONDS:
            self._try()

    def _try(self) -> None:
        try:
            self._send()
            self.trouble = ""
        except Exception as error:  # whatever it is, the work does not die of it
            self._place, self._failed = None, time.monotonic()
            if not self.trouble and not self._closing.is_set():
                tell(f"{self.journal.run['stage']}: {self._say(error)[:200]}; the work goes on")
            self.trouble = self._say(error)
        finally:
            self.tried.set()

    def _say(self, error: Exception) -> str:
        """In one line: whether nobody listens any more, or else what MLflow says."""
        try:
            reach.probe(store.tracking_uri(self.ws, self.params))
        except UserError as away:
            return str(away)
        return " ".join(str(error).split())

    def _send(self) -> None:
        if self._place is None:
            self._place = self._open()
        if self.sampling and not self._closing.is_set():
            self._sample()
        self.run_id = sending.send(self._place, self.journal)

    def _open(self) -> sending.Place:
        """Open the store and bring it up to date: what is pending there, and who is recorded as running but gone."""
        place = sending.Place.open(self.ws, self.params)
        for sent in sending.send_pending(place):
            if sent.refused:
                tell(
                    f"data/.keys/journal/{sent.journal}: refused by the store ({sent.refused}); arrcoc sync tries again"
                )
        experiment = store.experiment(place.client, self.ws, self.params)
        store.bury_in(place.client, experiment, self.ws, ())
        return place

    def _sample(self) -> None:
        """Put the machine's load into the journal, as MLflow measures it."""
        if self._monitor is None:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            uri = store.tracking_uri(self.ws, self.params)
            self._monitor = SystemMetricsMonitor("", tracking_uri=uri)  # only asked: its own thread needs the store
            self._next_sample = time.monotonic() + SAMPLING_SECONDS
        if time.monotonic() < self._next_sample:
            return
        self._next_sample = time.monotonic() + SAMPLING_SECONDS
        self._monitor.collect_metrics()
        values = {f"system/{name}": float(value) for name, value in self._monitor.aggregate_metrics().items()}
        self.journal.metrics(values, int(self.journal.age / SAMPLING_SECONDS))
        for part in self._monitor.monitors:
            part.clear_metrics()
