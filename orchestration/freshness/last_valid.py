"""The last params with which the graph could be built: what the page shows while `params.yaml` cannot be used."""

from pathlib import Path

import yaml

from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path
from ml.workspace.settings import load


def params(ws: Workspace) -> Params | None:
    """Those params; None where there are none, or the code of today wants others."""
    try:
        return load(_file(ws))
    except UserError:
        return None


def keep(ws: Workspace, params: Params) -> None:
    """Note the params."""
    with atomic_path(_file(ws)) as tmp:
        tmp.write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")


def _file(ws: Workspace) -> Path:
    return ws.root / ".dagster" / "storage" / "params.yaml"
