"""Where a checkout can't work is told before anything runs there."""

from pathlib import Path

import pytest

from ml.errors import UserError
from ml.workspace import Workspace


def checkout(root: Path) -> Path:
    root.mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        (root / name).write_text("")
    return root


@pytest.mark.parametrize("character", ["@", "%", "?", "#", "{", "}", "\n", "\t", "\\"])
def test_a_path_that_dvc_or_mlflow_reads_otherwise_is_refused_in_one_line(tmp_path: Path, character: str) -> None:
    root = checkout(tmp_path / f"a{character}b" / "c")
    with pytest.raises(UserError, match="move the checkout to a path without it") as error:
        Workspace.find(root)
    assert repr(character) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["two words", "Übergröße", "日本", "a'b", "[a]*$&;", "-a+b=c,d~"])
def test_other_paths_are_taken(tmp_path: Path, name: str) -> None:
    root = checkout(tmp_path / name)
    (root / "below").mkdir()
    assert Workspace.find(root / "below").root == root


def test_a_data_folder_elsewhere_is_refused_and_stages_elsewhere_are_not(tmp_path: Path) -> None:
    root, elsewhere = checkout(tmp_path / "here"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "data").symlink_to(elsewhere)
    with pytest.raises(UserError, match=f"data: a link to {elsewhere}, where DVC keeps nothing; make it a folder"):
        Workspace.find(root)
    (root / "data").unlink()
    (root / "data").mkdir()
    (root / "data" / "shards").symlink_to(elsewhere)
    assert Workspace.find(root).root == root
