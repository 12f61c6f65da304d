"""The released folder that is served, loaded anew when it has been released anew."""

import json
from pathlib import Path
from typing import Any

from ml.release.runtime.predictor import CONFIG, Predictor
from ml.release.runtime.speech import Speaker
from ml.release.variants import REGISTERED

UNREGISTERED = {"name": None, "version": None, "alias": None, "lineage": None}


class Released:
    """A package with what the registry knows of it."""

    def __init__(self, package: Path) -> None:
        """Load the package.

        Raises:
            UserError: it is missing or broken.
        """
        self.package = package
        self.load()

    def load(self) -> None:
        """Read all files anew.

        Raises:
            UserError: one is missing or broken.
        """
        self.stamp = self._stamp()
        package = self.package.resolve()  # all files of one version, should a link move meanwhile
        self.predictor = Predictor(package)
        self.speaker = Speaker(self.predictor, package)
        self.model = registered(package)

    @property
    def stale(self) -> bool:
        """Whether another release lies there now; while one is being put there, none does."""
        return self._stamp() not in (None, self.stamp)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = (self.package / CONFIG).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def registered(package: Path) -> dict[str, Any]:
    """Name, version, alias and lineage id of a package, be it a link; null where it was never registered."""
    try:
        return {**UNREGISTERED, **json.loads((package.resolve().parent / REGISTERED).read_text(encoding="utf-8"))}
    except (OSError, ValueError):
        return dict(UNREGISTERED)
