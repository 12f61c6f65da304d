"""One registry, on PostgreSQL with artifacts in S3, for two workspaces: a release is one version, the alias moves."""

import shutil
import threading
from pathlib import Path

import pytest
import yaml

from ml.errors import UserError
from ml.params import Params
from ml.release.register import _release, _release_md5
from ml.training.tracking import store, tracking
from ml.workspace import Workspace
from ml.workspace.settings import load
from tests.servers import losing

pytestmark = pytest.mark.slow
CARD = "card " * 2000  # longer than a column of PostgreSQL's; SQLite's takes anything
REPOSITORY = Path(__file__).parents[3]


def workspace(root: Path, uri: str, name: str) -> tuple[Workspace, Params]:
    """A workspace with something to release, which differs with the folder."""
    root.mkdir()
    shutil.copy2(REPOSITORY / "dvc.yaml", root)
    raw = yaml.safe_load((REPOSITORY / "ml" / "presets" / "smoke.yaml").read_text())
    raw["tracking"] = {"uri": uri, "experiment": name}
    raw["release"]["model_name"] = name
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    out = root / "data" / "released_model"
    (out / "package").mkdir(parents=True)
    (out / "package" / "package.json").write_text(f'"{root.name}"')
    (out / "card.md").write_text("card")
    return Workspace(root), load(root / "params.yaml")


def release(ws: Workspace, params: Params) -> str:
    with tracking.start(ws, params, "released_model") as run:
        return _release(ws, params, run.id, ws.stage("released_model"), CARD, None)


def test_two_that_release_at_once_get_a_version_each(tmp_path: Path, mlflow_server) -> None:
    spaces = [workspace(tmp_path / name, mlflow_server.address, "at_once") for name in ("one", "two")]
    versions: dict[str, str] = {}

    def of(ws: Workspace, params: Params) -> None:
        versions[_release_md5(ws.stage("released_model"))] = release(ws, params)

    threads = [threading.Thread(target=of, args=space) for space in spaces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client = store.connect(*spaces[0])
    found = {version.tags["release_md5"]: version.version for version in client.search_model_versions("name='at_once'")}
    assert found == versions and sorted(map(int, found.values())) == [1, 2]
    ws, params = spaces[1]
    assert release(ws, params) == versions[_release_md5(ws.stage("released_model"))]  # again: no third
    assert client.get_model_version_by_alias("at_once", params.release.alias).version == release(*spaces[1])
    assert len(client.search_model_versions("name='at_once'")) == 2


def test_a_version_whose_answer_is_lost_is_taken_by_the_next_run(tmp_path: Path, mlflow_server) -> None:
    with losing(mlflow_server.address, "model-versions/create") as address:
        ws, params = workspace(tmp_path / "one", address, "lost")
        with pytest.raises(UserError, match="not usable as MLflow's store"):
            release(ws, params)
        version = release(ws, params)
        client = store.connect(ws, params)
        (found,) = client.search_model_versions("name='lost'")
        assert found.version == version == client.get_model_version_by_alias("lost", params.release.alias).version
