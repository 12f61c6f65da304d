"""What each stage was made from: its record beside the data, or `dvc.lock`, and the same for all stages above it.

A record is a file under `data/.keys`, written when the stage ends, in the terms of `dvc.lock`.
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ml.errors import UserError, cut
from ml.params import Params
from ml.workspace import Workspace, stages, yamlfile
from ml.workspace.snapshot import Snapshot
from ml.workspace.stages import Stage

WAY_OUT = "a merge conflict? take one side (git checkout --ours dvc.lock), or remove the file and run again"
Made = dict[str, Any]  # {"deps": {path: md5}, "params": {dotted key: value}, "out": md5, "files": {code file: md5}}


class _File(BaseModel):
    """What DVC has of a file or folder; what it has only of files elsewhere than here is taken as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: str
    md5: Annotated[str, Field(min_length=3)]
    hash: str = "md5"
    size: int = 0
    nfiles: int = 0
    isexec: bool = False
    checksum: Any = None
    etag: Any = None
    version_id: Any = None
    cloud: Any = None
    files: Any = None
    dataset: Any = None


class _Entry(BaseModel):
    """A stage as `dvc.lock` has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cmd: str
    deps: list[_File] = []
    params: dict[str, dict[str, Any]] = {}
    outs: Annotated[list[_File], Field(min_length=1)]


class _Lock(BaseModel):
    """The whole of `dvc.lock`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    datasets: Any = None
    version: Annotated[Literal["2.0"], Field(alias="schema")]
    stages: dict[str, _Entry] = {}


def data_version(ws: Workspace, path: Path) -> str | None:
    """The md5 that `dvc.lock` would hold for a file or folder as it is now; None where nothing is."""
    return Snapshot(ws).version(path)


def deps(ws: Workspace, stage: Stage, params: Params) -> dict[str, str | None]:
    """The data versions of all that a stage reads, as they are now."""
    return Snapshot(ws).deps(stage, params)


def code_files(ws: Workspace, stage: Stage) -> dict[str, str]:
    """The md5 of every file of a stage's declared code, as it is now."""
    return Snapshot(ws).code_files(stage)


def record_file(ws: Workspace, name: str) -> Path:
    """Where a stage's record lies."""
    return ws.data / ".keys" / f"{name}.json"


def seen(ws: Workspace, name: str) -> Made:
    """A stage's record; {} where there is none."""
    try:
        return dict(json.loads(record_file(ws, name).read_text(encoding="utf-8")))
    except (OSError, ValueError):  # never written, or cut short by a crash
        return {}


def locked(ws: Workspace, name: str) -> Made:
    """The stage as `dvc.lock` has it; {} where it has none.

    Raises:
        UserError: the file is no lock file, for example with the marks of a merge conflict.
    """
    path = ws.root / "dvc.lock"
    if not path.exists():
        return {}
    found = path.stat()
    entry = _lock_entries(path, (found.st_mtime_ns, found.st_size, found.st_ino)).get(name)
    if entry is None:
        return {}
    return {
        "deps": {dep.path: dep.md5 for dep in entry.deps},
        "params": entry.params.get("params.yaml", {}),
        "out": entry.outs[0].md5,
    }


def run_file(ws: Workspace, name: str) -> Path:
    """Where it is noted which MLflow run made a stage's output: {"run_id", "experiment_id"}."""
    return ws.data / ".keys" / "runs" / f"{name}.json"


def above(ws: Workspace, names: Iterable[str]) -> dict[str, Made]:
    """What the stages named and all stages above them were made from, in order; those without a record are left out."""
    found = {name: seen(ws, name) or locked(ws, name) for name in stages.above(stages.load(ws), names)}
    return {name: made for name, made in found.items() if made}


@lru_cache(maxsize=4)
def _lock_entries(path: Path, _stat: tuple[int, ...]) -> dict[str, _Entry]:
    try:
        raw = yamlfile.read(path, WAY_OUT)
        return yamlfile.typed(_Lock, raw, str(path), "cut short?").stages if raw else {}
    except UserError as error:
        reason = str(error).splitlines()[0].removeprefix(f"{path}: ").removesuffix(f"; {WAY_OUT}")
        raise UserError(f"{path}: not readable as DVC's lock file ({cut(reason, 120)}); {WAY_OUT}") from error
