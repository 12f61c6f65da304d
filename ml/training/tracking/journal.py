"""What a run has to tell its store, kept on disk until all of it is sent: no work waits for a store or dies of it.

A folder a run below `data/.keys/journal`: `run.json` says whose it is, `events.jsonl` holds a line an event, `files`
the artifacts by their path in the run, `sent.json` the run's id in the store and how far it was sent. A run that is
interrupted and goes on has a journal each time; the first one's name is that by which the store knows the run.
"""

import errno
import fcntl
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ml.workspace import Workspace
from ml.workspace.atomic import atomic_dir, told, write_json

ERROR, STOPPED, NOTE = "error", "stopped", "mlflow.note.content"  # tags: why a run has ended, and its description
ERROR_LINES = 20
END_BYTES = 1024  # more than the line that ends a journal takes
Event = dict[str, Any]  # {"kind": "metrics" and the like, and what belongs to it}


def folder_of(ws: Workspace) -> Path:
    """Where the journals of a workspace lie."""
    return ws.data / ".keys" / "journal"


@dataclass(frozen=True)
class Journal:
    """One run's journal; `folder` is named by the time at which the run began, so that names come in order."""

    folder: Path

    @classmethod
    def begin(cls, ws: Workspace, stage: str, experiment: str, first: str | None = None) -> "Journal":
        """A journal for a run of `stage` by this process; `first`: that of the run which it goes on with."""
        began = time.time_ns() // 1_000_000
        folder = folder_of(ws) / f"{began}_{stage}_{uuid.uuid4().hex[:8]}"
        with atomic_dir(folder) as tmp:
            run = {"stage": stage, "experiment": experiment, "began": began, "process": process()}
            write_json(tmp / "run.json", run | {"first": first or folder.name})
            (tmp / "events.jsonl").touch()
        return cls(folder)

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    @property
    def first(self) -> str:
        """The name of the run's first journal, which the run's tag `journal` says."""
        return str(self.run["first"])

    @property
    def age(self) -> float:
        """Seconds since the run began."""
        return time.time() - int(self.first.partition("_")[0]) / 1000

    @property
    def run(self) -> dict[str, Any]:
        """Whose journal it is: {"stage", "experiment", "began" (ms), "process", "first"}."""
        return dict(json.loads((self.folder / "run.json").read_text(encoding="utf-8")))

    @property
    def sent(self) -> dict[str, Any]:
        """How far it was sent: {"run_id", "experiment_id", "position" (bytes), "known" (last step of each metric)}.

        {} before the store knows of it.
        """
        try:
            return dict(json.loads((self.folder / "sent.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def note_sent(self, run_id: str, experiment_id: str, position: int, known: Mapping[str, int]) -> None:
        """Remember how far it was sent."""
        note = {"run_id": run_id, "experiment_id": experiment_id, "position": position, "known": dict(known)}
        write_json(self.folder / "sent.json", note)

    def append(self, kind: str, **values: Any) -> None:
        """Add an event. A line is one write at the end of the file, so that threads need no lock.

        Raises:
            UserError: the disk is full.
        """
        line, path = json.dumps({"kind": kind, **values}).encode() + b"\n", self.folder / "events.jsonl"
        with told(path):
            file = os.open(path, os.O_RDWR | os.O_APPEND)
            try:
                size = os.fstat(file).st_size
                torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"  # by a kill in the middle of a write
                line = b"\n" + line if torn else line
                if os.write(file, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            finally:
                os.close(file)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Add numbers at a step, as of now."""
        now = time.time_ns() // 1_000_000
        self.append("metrics", values=[[name, value, now, step] for name, value in values.items()])

    def keep(self, path: str, content: bytes, kind: str = "artifact") -> None:
        """Add an artifact by its path in the run, for example `pictures/sheet.png`; `kind`: or a table."""
        file = self.folder / "files" / path
        with told(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self.append(kind, path=path)

    def keep_folder(self, path: str, source: Path) -> None:
        """Add a folder of artifacts as it is now."""
        with told(self.folder / "files" / path):
            shutil.copytree(source, self.folder / "files" / path, dirs_exist_ok=True)
        self.append("artifact", path=path)

    def end(self, status: str, error: str = "", out: str | None = None) -> None:
        """Add that the run ended, with the last lines of an error or the md5 of the output."""
        if error:
            self.append("tag", name=ERROR, value="\n".join(error.strip().splitlines()[-ERROR_LINES:]))
        self.append("end", status=status, time=time.time_ns() // 1_000_000, out=out)

    def stop(self, why: str, note: str = "") -> None:
        """Add that the run was terminated, and what becomes of it; `note`: what else its description says."""
        for name, value in {STOPPED: why, NOTE: f"{why}\n\n{note}".strip()}.items():
            self.append("tag", name=name, value=value)
        self.end("KILLED")

    def events(self, position: int) -> Iterator[tuple[Event, int]]:
        """The events from a position on, each with the position behind it; a line cut by a kill is passed over."""
        with (self.folder / "events.jsonl").open("rb") as file:
            file.seek(position)
            for line in file:
                position += len(line)
                if not line.endswith(b"\n"):  # being written
                    return
                try:
                    yield json.loads(line), position
                except ValueError:  # cut short: its writer was killed, or the disk was full
                    continue

    @property
    def ended(self) -> bool:
        """Whether all of the run is in it: its last line says so."""
        with (self.folder / "events.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - END_BYTES))
            tail = file.read()
        return tail.endswith(b"\n") and tail[:-1].rpartition(b"\n")[2].startswith(b'{"kind": "end"')

    def remove(self) -> None:
        """Forget it, all at once: a folder that a kill leaves half removed is no journal any more."""
        scrap = self.folder.with_name(f".{self.name}.{socket.gethostname()}.{os.getpid()}.tmp")
        self.folder.replace(scrap)
        shutil.rmtree(scrap, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether it is ours to send: two that send at once would make two runs of it."""
        try:
            file = os.open(self.folder, os.O_RDONLY)
        except FileNotFoundError:  # another process has sent it meanwhile
            yield False
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield self.folder.is_dir()
        except BlockingIOError:
            yield False
        finally:
            os.close(file)


def journals(ws: Workspace) -> list[Journal]:
    """All journals of a workspace, the oldest first."""
    return [Journal(file.parent) for file in sorted(folder_of(ws).glob("[!.]*/run.json"))]


def pending(ws: Workspace) -> list[Journal]:
    """The journals of runs that are over: ended, or their process gone."""
    return [journal for journal in journals(ws) if is_over(journal)]


def is_over(journal: Journal) -> bool:
    """Whether nothing will be added any more."""
    try:
        return journal.ended or is_gone(journal.run["process"])
    except FileNotFoundError:  # another process has sent it meanwhile
        return False


def bury(ws: Workspace, last_lines: Sequence[str] = (), stopped: bool = False, elsewhere: str | None = None) -> None:
    """End the journals of processes that are gone: killed, out of memory, power lost.

    Args:
        last_lines: of their output.
        stopped: by whoever asks.
        elsewhere: a stage whose processes on other hosts are known to be gone.
    """
    for journal in [one for one in journals(ws) if is_over(one) or one.run["stage"] == elsewhere]:
        if not journal.ended and stopped:
            journal.stop("terminated")
        elif not journal.ended:
            journal.end("FAILED", last_words(journal.run["process"], last_lines))


def last_words(process: str, last_lines: Sequence[str]) -> str:
    """What is known of the end of a process that said nothing."""
    return "\n".join([*last_lines[1 - ERROR_LINES :], f"process {process.split(':')[1]} ended without a word"])


def process() -> str:
    """Host, id and start of this process: an id alone is given again."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def is_gone(process: str) -> bool:
    """Whether a process of this machine, as `process` names it, has ended; of another machine nobody knows."""
    host, pid, began = process.split(":")
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != began
    except psutil.Error:
        return True


def table(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as MLflow keeps a table: {"columns": [...], "data": [[...], ...]}; what JSON has no word for is null."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    data = [[_plain(row.get(column)) for column in columns] for row in rows]
    return json.dumps({"columns": columns, "data": data}).encode()


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and (value != value or abs(value) == float("inf")) else value
