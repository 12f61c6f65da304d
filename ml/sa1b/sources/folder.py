"""Shards in a local folder, used where they lie."""

from dataclasses import dataclass
from pathlib import Path

from ml.errors import UserError, cut
from ml.sa1b.sources.lines import shown
from ml.sa1b.sources.source import Check, Progress
from ml.workspace.atomic import atomic_path


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
            raise UserError(f"{shown(source)}: no such shard; shards.source names a folder of tars")
        try:
            with atomic_path(out) as tmp:
                _link(source, tmp)
                _check(source, tmp, check)
        except OSError as error:
            raise UserError(
                f"{shown(source)}: can't be used where it lies ({error.strerror}); see that it is there and may be read"
            ) from error


def _link(source: Path, tmp: Path) -> None:
    tmp.unlink(missing_ok=True)
    try:
        tmp.hardlink_to(source.resolve())
    except OSError:  # another disk, or a file system without hard links
        tmp.symlink_to(source.resolve())


def _check(source: Path, tmp: Path, check: Check) -> None:
    """Check what was linked, and that it stayed what it was: a tar may be replaced or written to meanwhile.

    Raises:
        UserError: it is unsound, or did not stay.
    """
    before = _state(tmp)
    wrong = check(tmp)
    if _state(tmp) != before:
        raise UserError(f"{shown(source)}: was changed while it was checked; run again when nobody writes to it")
    if wrong:
        raise UserError(f"{shown(source)}: {cut(wrong)}; replace it, or correct shards.checksums")


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
