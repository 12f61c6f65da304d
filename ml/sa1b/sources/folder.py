"""Shards in a local folder, used where they lie."""

import os
from dataclasses import dataclass
from pathlib import Path

from ml.errors import UserError
from ml.sa1b.sources.source import Check, Progress


@dataclass(frozen=True)
class Folder:
    """A folder of tars."""

    path: Path

    def files(self) -> list[str]:
        """The names of its tars."""
        return [path.name for path in self.path.glob("*.tar")]

    def bring(self, shard: str, out: Path, retries: int, check: Check, progress: Progress) -> None:
        """Put a tar in place without copying: one file with two names, or across disks a symbolic link.

        Raises:
            UserError: it is not there, or unsound.
        """
        source = self.path / f"{shard}.tar"
        if not source.is_file():
            raise UserError(f"{source}: no such shard; shards.source names a folder of tars")
        if wrong := check(source):
            raise UserError(f"{source}: {wrong}; replace it, or correct shards.checksums")
        out.parent.mkdir(parents=True, exist_ok=True)
        tmp = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        tmp.unlink(missing_ok=True)
        try:
            tmp.hardlink_to(source.resolve())
        except OSError:  # another disk, or a file system without hard links
            tmp.symlink_to(source.resolve())
        tmp.replace(out)
        tmp.unlink(missing_ok=True)  # renaming one hard link onto another of the same file leaves both
