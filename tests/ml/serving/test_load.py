"""Minutes of questions: every one is answered, and memory stays where it was."""

import io
import itertools
import os
import threading
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from ml.serving.limits import Limits
from tests.ml.serving.test_server import ask

SECONDS = float(os.environ.get("ARRCOC_LOAD_SECONDS", "600"))
CLIENTS = 4
MORE_THAN_KEPT = 2 * Limits().pictures
SETTLED = 0.25  # of the time; until then pictures are taken up, and the allocators find their size
LEEWAY = 1.1


def picture(number: int) -> bytes:
    noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((320, 240)).save(file, "PNG")
    return file.getvalue()


def memory(server: psutil.Process) -> int:
    """Bytes of the server and its workers, shared ones once."""
    return sum(process.memory_full_info().pss for process in (server, *server.children(recursive=True)))


@pytest.mark.slow
def test_memory_is_flat_under_load(server) -> None:
    process, begun = psutil.Process(server.process.pid), time.monotonic()
    statuses, failed = list[int](), list[Exception]()

    def client(first: int) -> None:
        try:
            for number in itertools.count(first, CLIENTS):
                if time.monotonic() - begun > SECONDS:
                    return
                told = ask(server.url, [f"the {number}th thing", "a car"], picture(number % MORE_THAN_KEPT))
                statuses.append(told.status_code)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=client, args=(first,)) for first in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(SETTLED * SECONDS)
    before = memory(process)
    for thread in threads:
        thread.join()
    after = memory(process)
    found = f"{before / 1e6:.0f} MB settled, {after / 1e6:.0f} MB at the end"
    print(f"{len(statuses)} requests in {SECONDS:.0f} s; {found}")
    assert not failed and set(statuses) == {200} and len(statuses) > MORE_THAN_KEPT
    assert after < LEEWAY * before
