"""A disk that is full at every turn: each time one line and no trace, and once there is room the same bytes."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from disturbed import left_behind, not_in_cache, said, start, tracked

GROWTH = 1.2
MOST_RUNS = 60

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path):
    """A mounted tmpfs, and a function that sets its size in bytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs takes root")
    yield place, lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_the_line_goes_on_as_the_disk_grows(finished, make_checkout, disk) -> None:
    place, resize = disk
    origin, reference = make_checkout("smoke", "full"), tracked(finished.root)
    root = place / "town"
    shutil.copytree(origin.root, root)
    checkout = type(origin)(root)
    size, full = used(place) + (1 << 16), 0
    for _ in range(MOST_RUNS):
        resize(size)
        run = start(checkout)
        run.communicate(timeout=1200)
        if run.returncode in (0, 1) and "no space" not in said(checkout):
            break
        full += 1
        assert run.returncode == 2, (run.returncode, said(checkout)[-2000:])
        assert "no space left" in said(checkout), said(checkout)[-2000:]
        assert "Traceback" not in said(checkout), said(checkout)[-2000:]
        size = int(max(size, used(place)) * GROWTH)
    assert full > 5
    assert [name for name, md5 in tracked(root).items() if reference.get(name) != md5] == []
    assert left_behind(root) == []
    assert not_in_cache(root) == []
    assert json.loads(checkout.run("dvc", "status", "--json").stdout) == {}


def used(place: Path) -> int:
    found = os.statvfs(place)
    return (found.f_blocks - found.f_bfree) * found.f_frsize
