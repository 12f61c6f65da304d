"""What a step prints is seen at once and kept in a file, and no process is started for that."""

import subprocess
import sys
from pathlib import Path

CODE = """
import subprocess, sys
import psutil
from dagster._core.execution import compute_logs
from orchestration.runs.step_output import follow_in_threads
follow_in_threads()
for number in range(2):
    with compute_logs.mirror_stream_to_file(sys.stdout, f"{sys.argv[1]}/{number}"):
        print(f"said {number}", flush=True)
        subprocess.run(["echo", f"below {number}"], check=True)
        assert not psutil.Process().children()
        print("last words", flush=True)
print("after")
"""


def test_what_a_step_prints_is_shown_and_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert (done.returncode, done.stderr) == (0, "")
    kept = [(tmp_path / name).read_text().splitlines() for name in "01"]
    assert kept == [[f"said {number}", f"below {number}", "last words"] for number in range(2)]
    assert done.stdout.splitlines() == [*kept[0], *kept[1], "after"]
