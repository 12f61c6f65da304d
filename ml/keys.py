"""What a shard's output was made from, kept beside the data, so that finished work is never done twice.

The record lies outside the tracked outputs: written into them, a changed comment in the code would change their
bytes, and rebuilt but identical output could no longer stop there.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ml.atomic import write_json
from ml.workspace import Workspace


def file_md5(path: Path) -> str:
    """The md5 of a file's bytes, as DVC records it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def cached_md5(ws: Workspace, path: Path) -> str:
    """`file_md5`, remembered under `data/.keys` for as long as the file's size and modification time stay."""
    record = ws.data / ".keys" / "md5" / f"{hashlib.md5(str(path).encode()).hexdigest()}.json"
    stat = path.stat()
    seen = _read(record)
    if (seen.get("size"), seen.get("mtime_ns")) != (stat.st_size, stat.st_mtime_ns):
        seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "md5": file_md5(path)}
        write_json(record, seen)
    return str(seen["md5"])


def key(ws: Workspace, code: str, params: object, inputs: Sequence[Path]) -> str:
    """The digest of all that a shard's output depends on: its code, its params and its inputs' bytes."""
    parts = [code, params, [cached_md5(ws, path) for path in inputs]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def is_current(ws: Workspace, stage: str, shard: str, wanted: str, outputs: Sequence[Path]) -> bool:
    """Whether the outputs are there, untouched since they were recorded, and made from what `wanted` digests."""
    seen = _read(_record(ws, stage, shard))
    return (
        seen.get("key") == wanted
        and all(path.is_file() for path in outputs)
        and seen.get("outputs") == [cached_md5(ws, path) for path in outputs]
    )


def record(ws: Workspace, stage: str, shard: str, made_from: str, outputs: Sequence[Path]) -> None:
    """Remember that the outputs were made from what `made_from` digests."""
    value = {"key": made_from, "outputs": [cached_md5(ws, path) for path in outputs]}
    write_json(_record(ws, stage, shard), value)


def _record(ws: Workspace, stage: str, shard: str) -> Path:
    return ws.data / ".keys" / stage / f"{shard}.json"


def _read(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # never written, or cut short by a crash: the work is simply done again
        return {}
    return value if isinstance(value, dict) else {}
