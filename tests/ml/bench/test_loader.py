"""Both sides of the benchmark yield the same tensors, on an image of SA-1B's size."""

from pathlib import Path

import pytest
import torch

from ml.bench.files import Pair, read_pair
from ml.bench.loader import FRAME, QUERIES, PlainDataset, plain_frame, write
from ml.sa1b.dataset import ARRCOCDataset
from ml.sa1b.frames import padded, shown
from ml.sa1b.reader import decode

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
    full = padded(shown(decode(pair.jpeg), FRAME, pair.size), FRAME.out)
    assert (full.int() - plain_frame(pair.jpeg).int()).abs().max() <= 2  # two decoders, two resizes
