"""The stream of batches: every image once an epoch, no image twice among processes, resumable anywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.training.sampler import WINDOW, Sampler, validation_batches

IMAGES = np.arange(100, 130)
BLOCKS = np.arange(30) // 4


def sampler(**changes: int) -> Sampler:
    return Sampler(IMAGES, BLOCKS, **{"seed": 3, "batch_size": 4, **changes})


def test_epoch_holds_every_image_once() -> None:
    order = sampler().order(0)
    assert sorted(order) == list(IMAGES)
    assert list(order) != list(IMAGES)
    assert list(order) != list(sampler().order(1))
    assert list(order) != list(sampler(seed=4).order(0))


def test_images_of_a_window_stay_together() -> None:
    order = sampler().order(0)
    blocks = BLOCKS[order - 100]
    changes = [len(set(blocks[:cut]) & set(blocks[cut:])) for cut in range(1, 30)]
    assert min(changes) == 0  # somewhere one window ends and the next begins
    assert len(set(blocks[: 4 * WINDOW - 4])) <= WINDOW + 1


@settings(deadline=None)
@given(start=st.integers(0, 40), length=st.integers(1, 10), world=st.integers(1, 3))
def test_resuming_gives_the_same_batches(start: int, length: int, world: int) -> None:
    whole = list(sampler(world_size=world, rank=world - 1).batches(0, start + length))
    assert list(sampler(world_size=world, rank=world - 1).batches(start, start + length)) == whole[start:]


@pytest.mark.parametrize("world", [1, 3, 5])
def test_processes_share_an_epoch_without_overlap(world: int) -> None:
    steps = 30 // (2 * world)
    dealt = [list(sampler(batch_size=2, world_size=world, rank=rank).batches(0, steps)) for rank in range(world)]
    seen = [pair for batches in dealt for batch in batches for pair in batch]
    assert len(set(seen)) == len(seen) == 2 * world * steps
    assert sorted(index for _, index in seen) == list(IMAGES)


def test_batches_go_on_into_the_next_epoch() -> None:
    batches = list(sampler().batches(0, 8))
    epochs = [epoch for batch in batches for epoch, _ in batch]
    assert epochs == [0] * 30 + [1] * 2


@settings(deadline=None)
@given(images=st.integers(1, 20), size=st.integers(1, 5), world=st.integers(1, 4))
def test_validation_is_dealt_whole_and_evenly(images: int, size: int, world: int) -> None:
    dealt = [validation_batches(np.arange(images), size, rank, world) for rank in range(world)]
    assert len({len(batches) for batches in dealt}) == 1
    assert sorted(index for batches in dealt for batch in batches for _, index in batch) == list(range(images))
