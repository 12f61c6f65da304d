"""`dvc.lock` and DVC's cache, brought up to what a run has made."""

import logging
from collections.abc import Sequence

from ml.workspace import Workspace


def commit(ws: Workspace, names: Sequence[str]) -> None:
    """Record stages as DVC would had `dvc repro` run them: afterwards `dvc status` finds them unchanged.

    Outputs are copied (or reflinked) into DVC's cache, from where `dvc push` takes them.
    """
    if not names:
        return
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    with Repo(str(ws.root)) as repo, repo.lock:
        for name in names:
            repo.commit(name, force=True)
