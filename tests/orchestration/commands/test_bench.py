"""`arrcoc bench`: its table of contents."""

from importlib import import_module
from pathlib import Path

import pytest

from ml.errors import UserError
from orchestration.commands.bench import BENCHES, measure


@pytest.mark.parametrize("name", BENCHES)
def test_every_benchmark_is_there(name: str) -> None:
    module, _, function = BENCHES[name].partition(":")
    assert callable(getattr(import_module(module), function))


def test_an_unknown_name_is_told_those_there_are() -> None:
    with pytest.raises(UserError, match="benchmark 'mask' is unknown; choose from masks"):
        measure("mask", [])


def test_a_file_that_is_not_one_of_sa1b(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json: not a JSON of SA-1B"):
        measure("masks", [tmp_path / "none.json"])
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(UserError, match=r"none\.json: not a JSON of SA-1B .*\(no image or no annotations in it\)"):
        measure("masks", [tmp_path / "none.json"])


@pytest.mark.parametrize(("name", "paths", "takes"), [("evaluation", 1, "none"), ("masks", 2, "no more than one")])
def test_more_paths_than_it_takes(name: str, paths: int, takes: str) -> None:
    with pytest.raises(UserError, match=f"bench {name}: {paths} paths given, it takes {takes}"):
        measure(name, [Path("a.json")] * paths)


@pytest.mark.parametrize(("name", "lacks"), [("phrases", "FOLDER"), ("vocabulary", "PATH")])
def test_fewer_paths_than_it_needs(name: str, lacks: str) -> None:
    with pytest.raises(UserError, match=f"say which: arrcoc bench {name} {lacks}"):
        measure(name, [])
