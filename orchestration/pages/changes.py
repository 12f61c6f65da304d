"""What is edited or made while the pages are served: Dagster's definitions are loaded again, as its button does."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from ml.errors import UserError, cut
from ml.workspace import Workspace, lineage, stages
from orchestration.freshness.lock import busy

RELOAD = """mutation {reloadRepositoryLocation(repositoryLocationName: "orchestration.definitions") {
    __typename ... on WorkspaceLocationEntry {locationOrLoadError {__typename ... on PythonError {message}}}}}"""
RELOAD_SECONDS = 300.0  # on a busy machine
Seen = dict[Path, tuple[int, int]]  # size and time of change of each file


class Changes:
    """Looks now and then at what the definitions are made from."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.loaded = self.last = {**edited(ws), **made(ws)}

    def look(self) -> bool:
        """Whether there is something new, and all of it: nothing has changed since the last look.

        What a run makes counts when the run is over: until then each of its stages would be a reload.
        """
        ended = {} if busy(self.ws) else made(self.ws)
        now = {**(self.loaded if busy(self.ws) else {}), **edited(self.ws), **ended}
        settled, self.last = now == self.last, now
        if not settled or now == self.loaded:
            return False
        self.loaded = now
        return True


def edited(ws: Workspace) -> Seen:
    """What a person changes: `params.yaml`, `dvc.yaml`, declared code."""
    try:
        code = {path for stage in stages.load(ws).values() for path in stage.code}
    except UserError:  # being edited; it counts itself
        code = set()
    files = {file for path in code for file in stages.files_below(ws.root / path)}
    return _seen({ws.params_file, ws.root / "dvc.yaml", *files})


def made(ws: Workspace) -> Seen:
    """What runs leave behind: the record of each stage, `dvc.lock`."""
    return _seen({ws.root / "dvc.lock", *lineage.record_file(ws, "*").parent.glob("*.json")})


def reload_definitions(dagster: str) -> str | None:
    """Have Dagster's page at an address load the definitions again; what went wrong, if anything."""
    body, headers = json.dumps({"query": RELOAD}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{dagster}/graphql", body, headers)
    try:
        answer: Any = json.loads(urllib.request.urlopen(request, timeout=RELOAD_SECONDS).read())
    except (OSError, ValueError) as error:
        return str(error)
    if "errors" in answer:
        return cut(answer["errors"][0]["message"])
    loaded = answer["data"]["reloadRepositoryLocation"].get("locationOrLoadError") or {}
    return cut(loaded["message"]) if "message" in loaded else None


def _seen(files: set[Path]) -> Seen:
    found = {}
    for file in files:
        if file.is_file():
            stat = file.stat()
            found[file] = stat.st_size, stat.st_mtime_ns
    return found
