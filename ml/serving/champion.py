"""What is served in a workspace: the version that the registry's alias names, wherever somebody has moved it.

MLflow is kept out of the server's processes. One beside them, `python -m ml.serving.champion ROOT`, asks the registry
and moves a link, as the release itself does by taking the place of the one before; the workers look at the link.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.params import Params
from ml.release.variants import REGISTERED
from ml.serving.released import registered
from ml.workspace import Workspace, settings
from ml.workspace.atomic import atomic_dir, write_json

EVERY = 2.0  # seconds between two looks at the registry
FOLDER = ".served"


def followed(ws: Workspace) -> Path:
    """The package to serve, a link that follows the alias; without MLflow the workspace's own release."""
    own, link = ws.stage("released_model") / "package", ws.data / FOLDER / "package"
    if find_spec("mlflow") is None:
        return own
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists() and own.is_dir():
        _point(link, own)
    follower = subprocess.Popen([sys.executable, "-m", __name__, str(ws.root)])
    while not link.exists() and follower.poll() is None:
        time.sleep(0.1)
    return link if link.exists() else own


def follow(ws: Workspace) -> None:
    """Ask the registry again and again, as long as the server lives; what is wrong is told once.

    Where the first look finds nothing to serve, there is nobody to follow it for.
    """
    server, told, link = os.getppid(), "", ws.data / FOLDER / "package"
    _tidy(ws)
    while os.getppid() == server:
        try:
            bring(ws, settings.load(ws.params_file))
            told = ""
        except UserError as error:
            if str(error) != told:
                told = str(error)
                print(f"arrcoc: the alias is not followed: {told}", file=sys.stderr)
        if not link.exists():
            return
        time.sleep(EVERY)


def bring(ws: Workspace, params: Params) -> None:
    """Point the link to the version that the alias names, downloaded where it is not the workspace's own release.

    Raises:
        UserError: the registry or the version's files can't be read.
    """
    from mlflow.exceptions import MlflowException

    from ml.training.tracking import reach, store

    link, client = ws.data / FOLDER / "package", store.connect(ws, params)
    try:
        found = _named(client, params)
        if found is not None and registered(link)["version"] != str(found.version):
            _point(link, _folder(ws, params, found))
    except (MlflowException, OSError) as error:
        raise UserError(reach.unusable(store.tracking_uri(ws, params), error)) from error


def _named(client: Any, params: Params) -> Any | None:
    """The version that the alias names; None where it names none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(params.release.model_name, params.release.alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no such model, no such alias
            return None
        raise


def _folder(ws: Workspace, params: Params, found: Any) -> Path:
    own, out = ws.stage("released_model") / "package", ws.data / FOLDER / f"version_{found.version}"
    if registered(own)["version"] == str(found.version):
        return own
    if not out.is_dir():
        _download(ws, params, found, out)
    return out / "package"


def _download(ws: Workspace, params: Params, found: Any, out: Path) -> None:
    """A version's package, with beside it what a release writes there."""
    import mlflow

    from ml.release.register import RELEASE
    from ml.training.tracking import store

    mlflow.set_tracking_uri(store.tracking_uri(ws, params))
    name, alias = params.release.model_name, params.release.alias
    told = {"name": name, "version": str(found.version), "alias": alias, "lineage": found.tags.get(RELEASE)}
    with atomic_dir(out) as folder:
        model = mlflow.artifacts.download_artifacts(f"models:/{name}/{found.version}", dst_path=str(folder / "model"))
        shutil.move(Path(model) / "artifacts" / "package", folder / "package")
        shutil.rmtree(folder / "model")
        write_json(folder / REGISTERED, told)


def _point(link: Path, package: Path) -> None:
    """Move the link, in one step."""
    new = link.with_name("package.new")
    new.unlink(missing_ok=True)
    new.symlink_to(os.path.relpath(package, link.parent))
    new.replace(link)


def _tidy(ws: Workspace) -> None:
    """Remove versions that were downloaded for an earlier server; one that reads a version still has it open."""
    folder = ws.data / FOLDER
    for old in folder.glob("version_*"):
        if old != (folder / "package").resolve().parent:
            shutil.rmtree(old)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, and this process ends with it
    follow(Workspace(Path(sys.argv[1])))
