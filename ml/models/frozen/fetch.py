"""Where a checkpoint comes from: a file, an address (resumed, kept in the user's cache), a tag of open_clip's."""

import os
from pathlib import Path
from typing import Any

from open_clip import download_pretrained

from ml.errors import UserError, cut
from ml.models.weights import sha256_of, verify
from ml.sa1b.sources.download import download

RETRIES = 4
ADDRESSES = ("https://", "http://", "s3://")


def from_file(source: str, sha256: str | None, root: Path, key: str) -> Path:
    """A checkpoint as a file: verified, and downloaded first if `source` is an address.

    Args:
        source: an address, or a path, which is looked for from `root`, the workspace.
        sha256: what its bytes have to be; None takes any.
        key: the param that names it, for errors.

    Raises:
        UserError: it is not there, can't be had, or its bytes are others.
    """
    if not source.startswith(ADDRESSES):
        path = root / Path(source).expanduser()
        if not path.is_file():
            raise UserError(
                f"{key}: {source} is no file, https:// address or known tag; download it or correct the key"
            )
    else:
        path = _cache() / source.split("?")[0].rsplit("/", 1)[-1]
        if not path.is_file():
            download(lambda: source, path, RETRIES, lambda part: _fault(part, sha256))
    if sha256 is not None:
        verify(path, sha256)
    return path


def from_hub(tag: dict[str, Any], sha256: str | None, key: str) -> Path:
    """The weights of one of open_clip's tags, from the hub's cache or the hub.

    Raises:
        UserError: they can't be had, or their bytes are others.
    """
    where = tag.get("hf_hub", "").rstrip("/") or tag.get("url", "")
    try:
        path = Path(download_pretrained(tag))
    except Exception as error:  # the hub's client, urllib and open_clip raise many kinds
        raise UserError(f"{key}: {where} {_reason(error)}") from error
    if sha256 is not None:
        verify(path, sha256)
    return path


def _reason(error: Exception) -> str:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "is not in the hub's cache, and HF_HUB_OFFLINE is set; unset it, or download the file and name its path"
    return f"could not be fetched ({cut(str(error), 120)}); look at the connection, or name the path of a file"


def _fault(path: Path, sha256: str | None) -> str:
    found = sha256_of(path) if sha256 else None
    return "" if found == sha256 else f"sha256 is {found}, wanted {sha256}"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "arrcoc"
