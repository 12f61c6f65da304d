"""The data as it lies there at one moment: each folder is walked once, for however many questions one answer takes."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from ml.params import Params
from ml.workspace import Workspace, keys
from ml.workspace.stages import Stage


class Snapshot:
    """What is asked of it is read from the disk once: for another moment take another."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self._folders: dict[str, dict[str, str]] = {}
        self._files: dict[str, str] = {}
        self._versions: dict[str, str | None] = {}
        self._digests: dict[str, str] = {}

    def listing(self, folder: Path) -> dict[str, str]:
        """The md5 of every file of a folder: {"sa_000000.tar": md5, ...}; {} where nothing is."""
        if (place := str(folder)) not in self._folders:
            self._folders[place] = keys.cached_md5s(self.ws, folder)
        return self._folders[place]

    def md5(self, file: str) -> str:
        """The md5 of the file with a path.

        Raises:
            FileNotFoundError: there is none.
        """
        folder, _, name = file.rpartition(os.sep)
        if (listed := self._folders.get(folder)) is not None:
            if name not in listed:
                raise FileNotFoundError(file)
            return listed[name]
        if file not in self._files:
            self._files[file] = keys.cached_md5(self.ws, Path(file))
        return self._files[file]

    def md5s(self, files: Iterable[str]) -> list[str]:
        """The md5 of each file.

        Raises:
            FileNotFoundError: one is not there.
        """
        return [self.md5(file) for file in files]

    def version(self, path: Path) -> str | None:
        """The md5 that `dvc.lock` would hold for a file or folder; None where nothing is."""
        if (place := str(path)) not in self._versions:
            self._versions[place] = self._version(path)
        return self._versions[place]

    def _version(self, path: Path) -> str | None:
        if path.is_file():
            return self.md5(str(path))
        files = self.listing(path)
        return folder_md5(files) if files else None

    def forget(self, path: Path) -> None:
        """Let a file or folder be read anew: it is what was made meanwhile from all the rest."""
        for known in (self._folders, self._files, self._versions):
            known.pop(str(path), None)

    def deps(self, stage: Stage, params: Params) -> dict[str, str | None]:
        """The data versions of all that a stage reads: code, files that params name, output of other stages."""
        paths = (*stage.code, *stage.named_files(self.ws, params), *stage.data)
        return {path: self.version(self.ws.root / path) for path in paths}

    def code_files(self, stage: Stage) -> dict[str, str]:
        """The md5 of every file of a stage's declared code: {"ml/masks/rle.py": md5, ...}, sorted."""
        found: dict[str, str] = {}
        for path in stage.code:
            if (place := self.ws.root / path).is_file():
                found[path] = self.md5(str(place))
            else:
                found |= {f"{path}/{name}": md5 for name, md5 in self.listing(place).items()}
        return {name: found[name] for name in sorted(found, key=lambda name: name.split("/"))}

    def code_digest(self, stage: Stage) -> str:
        """The sha256 of a stage's command and of every file of its declared code."""
        if stage.name not in self._digests:
            parts = [stage.cmd, self.code_files(stage)]
            self._digests[stage.name] = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        return self._digests[stage.name]


def folder_md5(files: dict[str, str]) -> str:
    """DVC's md5 of a folder with these files."""
    return hashlib.md5(folder_list(files)).hexdigest() + ".dir"


def folder_list(files: dict[str, str]) -> bytes:
    """DVC's list of a folder's files, as `dvc_data.hashfile.tree.Tree` writes it."""
    return json.dumps([{"md5": files[name], "relpath": name} for name in sorted(files)], sort_keys=True).encode()
