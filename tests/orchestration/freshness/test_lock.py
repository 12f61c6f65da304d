"""Who holds a workspace, as another process sees it."""

import subprocess
import sys
from pathlib import Path

from ml.workspace import Workspace
from orchestration.freshness.lock import exclusive, holder

HOLD = """
import sys
from pathlib import Path
from ml.workspace import Workspace
from orchestration.freshness.lock import exclusive, noted
ws = Workspace(Path(sys.argv[1]))
with exclusive(ws), noted(ws, "mask_index"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_the_stage_being_run_and_who_runs_it_are_told_as_long_as_it_is(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    assert holder(ws) is None
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        found = holder(ws)
        assert (found.process, found.stage) == (other.pid, "mask_index")
        assert found.words().startswith("mask_index is being run for 0 s now, by ")
        assert found.words().endswith(f"process {other.pid}.")
        other.communicate("\n")
    assert holder(ws) is None
    with exclusive(ws):
        assert holder(ws) is None  # it is we ourselves
