"""`dvc.lock` and DVC's cache, brought up to what a run has made."""

import logging
from collections.abc import Sequence

from ml.errors import UserError
from ml.workspace import Workspace


def commit(ws: Workspace, names: Sequence[str]) -> None:
    """Record stages as DVC would had `dvc repro` run them: afterwards `dvc status` finds them unchanged.

    Outputs are copied (or reflinked) into DVC's cache, from where `dvc push` takes them.

    Raises:
        UserError: DVC refuses, for example since another `dvc` is at work here.
    """
    if not names:
        return
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with Repo(str(ws.root)) as repo:
            for name in names:
                repo.commit(f"{ws.root / 'dvc.yaml'}:{name}", force=True)
    except DvcException as error:
        raise UserError(f"dvc.lock is not up to date: {' '.join(str(error).split())}; then run again") from error
