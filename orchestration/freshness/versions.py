"""Code version from `dvc.yaml` + `params.yaml`; a shard's data version from the md5s of its files."""

import hashlib
import json
from collections.abc import Mapping

from ml.params import Params
from ml.workspace.snapshot import Snapshot
from ml.workspace.stages import Stage


def code_version(stage: Stage, now: Snapshot, params: Params) -> str:
    """The digest of the stage's command, code, those params that bear on a shard's contents, and files they name."""
    parts: list[object] = [now.code_digest(stage), stage.shard_values(params)]
    if named := stage.named_files(now.ws, params):
        parts.append([now.version(now.ws.root / path) for path in named])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def shard_version(stage: Stage, files: Mapping[str, str], shard: str) -> str | None:
    """One shard's data version: the md5 of its file, or of the md5s of its files; None where one is missing.

    `files`: the md5 of each file of the stage's folder.
    """
    md5s = [files[name] for suffix in stage.files if (name := f"{shard}{suffix}") in files]
    if len(md5s) < len(stage.files):
        return None
    return md5s[0] if len(md5s) == 1 else hashlib.md5(" ".join(md5s).encode()).hexdigest()
