"""Memory that is freed and asked for again costs page faults, or none."""

import subprocess
import sys

PROGRAM = """
import resource
from ml.compute.memory import keep_memory
{call}
bytearray(b"x") * (50 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    bytearray(b"x") * (50 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(call=call)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_pages_are_kept():
    assert 5 * faults("keep_memory()") < faults("")
