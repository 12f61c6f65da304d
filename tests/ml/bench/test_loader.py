"""Both sides of the benchmark yield the same tensors, on an image of SA-1B's size."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ml.bench.files import Pair, read_pair
from ml.bench.loader import FRAME, QUERIES, PlainDataset, plain_frame, write
from ml.sa1b.reading.dataset import ARRCOCDataset
from ml.sa1b.reading.frames import shown
from ml.sa1b.reading.padding import padded
from ml.sa1b.reading.reader import decode

MASKS = 8


@pytest.fixture(scope="module")
def pair() -> Pair:
    return read_pair(None)


def test_the_same_tensors(pair: Pair, tmp_path: Path) -> None:
    sources = write(tmp_path, pair, MASKS)
    ours = ARRCOCDataset([sources.labels], [sources.tar], FRAME.out)[QUERIES]
    peer = PlainDataset(sources.extracted, 2)[1]
    assert ours["image"].shape == peer["image"].shape == (3, 1024, 1024)
    assert ours["coverage"].shape == peer["coverage"].shape == (MASKS, 64, 64)
    assert (ours["coverage"] - peer["coverage"]).abs().max() <= 1e-6
    assert ours["coverage"].amax((1, 2)).min() > 0.5
    assert (ours["image"].int() - peer["image"].int()).abs().float().mean() < 2.5  # decoded at half its size
    assert torch.equal(ours["relevance"], peer["relevance"])
    assert ours["text"] == peer["text"]


def test_decoded_as_stored_pixels_differ_by_a_level_at_most(pair: Pair) -> None:
    full = padded(shown(decode(pair.jpeg), FRAME, pair.size).numpy(), FRAME.out)[:3]
    assert np.abs(full.astype(int) - plain_frame(pair.jpeg).numpy().astype(int)).max() <= 2  # two decoders, two resizes


MEASURE = """
import re, sys
from pathlib import Path
from ml.sa1b.reading.dataset import ARRCOCDataset

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

dataset = ARRCOCDataset([Path(sys.argv[1])], [Path(sys.argv[2])], 1024)
before = peak()
masks = len(dataset[0]["masks"])
one = peak()
for index in range(1, len(dataset), 6):
    dataset[index]
print(masks, one - before, peak() - one)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peak memory is read from Linux's /proc")
def test_memory_is_flat_however_many_images_are_read(pair: Pair, tmp_path: Path) -> None:
    """Peak memory of a process of its own, in MiB: less than an image's masks at full size, and the same for 24."""
    sources = write(tmp_path, pair, len(pair.counts))
    child = [sys.executable, "-c", MEASURE, str(sources.labels), str(sources.tar)]
    done = subprocess.run(child, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    masks, one, more = map(float, done.stdout.split())
    dense = masks * pair.size[0] * pair.size[1] / 2**20
    assert one < 0.8 * dense  # libraries that load on the first read included
    assert more < 0.2 * dense
