"""Code version from `dvc.yaml` + `params.yaml`; a shard's data version from the md5s of its files."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ml.params import Params
from ml.workspace import Workspace, keys
from ml.workspace.lineage import data_version
from ml.workspace.stages import Stage


def code_version(stage: Stage, ws: Workspace, params: Params) -> str:
    """The digest of the stage's command, code, those params that bear on a shard's contents, and files they name."""
    parts: list[object] = [stage.code_digest(ws), stage.shard_values(params)]
    if named := stage.named_files(ws, params):
        parts.append([data_version(ws, ws.root / path) for path in named])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def shard_version(ws: Workspace, files: Sequence[Path]) -> str:
    """One shard's data version: the md5 of its file, or of the md5s of its files."""
    md5s = [keys.cached_md5(ws, file) for file in files]
    return md5s[0] if len(md5s) == 1 else hashlib.md5(" ".join(md5s).encode()).hexdigest()
