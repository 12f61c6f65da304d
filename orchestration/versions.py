"""Code version from `dvc.yaml` + `params.yaml`; data version from the md5 that DVC records."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ml import keys
from ml.params import Params
from ml.stages import Stage, files_below
from ml.workspace import Workspace


def code_version(stage: Stage, ws: Workspace, params: Params) -> str:
    """The digest of the stage's command, declared code and those declared params that bear on a shard's contents."""
    parts = [stage.code_digest(ws), stage.shard_values(params)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def data_version(ws: Workspace, path: Path) -> str | None:
    """The md5 that `dvc.lock` would hold for a file or folder; None where nothing is.

    A folder's is the md5 of the list of its files, as `dvc_data.hashfile.tree.Tree` writes it.
    """
    if path.is_file():
        return keys.cached_md5(ws, path)
    files = {file.relative_to(path).as_posix(): file for file in files_below(path)}
    if not files:
        return None
    listing = [{"md5": keys.cached_md5(ws, files[name]), "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def shard_version(ws: Workspace, files: Sequence[Path]) -> str:
    """One shard's data version: the md5 of its file, or of the md5s of its files."""
    md5s = [keys.cached_md5(ws, file) for file in files]
    return md5s[0] if len(md5s) == 1 else hashlib.md5(" ".join(md5s).encode()).hexdigest()
