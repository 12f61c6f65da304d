"""A process whose parent is killed does not go on."""

import os
import signal
import subprocess
import sys

import pytest

from ml.compute.parent import end_with_parent

PARENT = """
import subprocess, sys, time
code = '''
import time
import pytest

from ml.compute.parent import end_with_parent
end_with_parent()
print("up", flush=True)
time.sleep(60)
'''
subprocess.run([sys.executable, "-c", code])
"""


def test_it_ends_with_its_parent() -> None:
    """The pipe that both write to ends when both are gone."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=os.environ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        os.kill(parent.pid, signal.SIGKILL)
        assert parent.communicate(timeout=10)[0] == ""


def test_elsewhere_than_on_linux_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", None)
    end_with_parent()
