"""The same inputs, code and params give the same bytes, wherever the checkout lies."""

import hashlib
from pathlib import Path

import pytest


def tracked(root: Path) -> dict[str, str]:
    """The md5 of every file below `data/` that DVC tracks."""
    files = [path for path in (root / "data").rglob("*") if path.is_file()]
    names = {path.relative_to(root).as_posix(): path for path in files}
    seen = {name: path for name, path in names.items() if not any(part.startswith(".") for part in name.split("/"))}
    return {name: hashlib.md5(path.read_bytes()).hexdigest() for name, path in seen.items()}


@pytest.mark.slow
def test_another_folder_makes_the_same_bytes(finished, make_checkout):
    """Of another length, with a space and a letter that is not ASCII in its name."""
    other = make_checkout("smoke", "ein größerer Ort")
    done = other.run("arrcoc", "run", "--json", check=False, timeout=1200)
    assert done.returncode in (0, 1), done.stderr[-6000:]
    here, there = tracked(finished.root), tracked(other.root)
    assert set(here) == set(there)
    assert len(here) > 100
    assert [name for name in here if here[name] != there[name]] == []
