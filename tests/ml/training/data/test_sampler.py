"""The stream of batches: every image once an epoch, no image twice among processes, resumable anywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.training.data.sampler import WINDOW, Sampler, validation_batches

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


def plain_order(sampler: Sampler, epoch: int) -> np.ndarray:
    """The order as it is defined: each window's images, searched for among all."""
    rng = np.random.default_rng([sampler.seed, epoch])
    blocks = rng.permutation(np.unique(sampler.blocks))
    windows = [blocks[i : i + WINDOW] for i in range(0, len(blocks), WINDOW)]
    return np.concatenate([rng.permutation(sampler.images[np.isin(sampler.blocks, window)]) for window in windows])


@settings(deadline=None)
@given(blocks=st.lists(st.integers(0, 12), min_size=1, max_size=60), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_the_order_is_that_of_its_definition(blocks: list[int], seed: int, epoch: int) -> None:
    made = Sampler(np.arange(len(blocks)) * 3, np.array(blocks), seed, 4)
    assert np.array_equal(made.order(epoch), plain_order(made, epoch))


def test_an_epoch_of_many_blocks_is_ordered_at_once() -> None:
    """300,000 images in 20,000 blocks: searching all of them for each window would take minutes."""
    made = Sampler(np.arange(300_000), np.arange(300_000) // 15, 0, 4)
    assert np.array_equal(np.sort(made.order(0)), made.images)


@settings(deadline=None)
@given(stop=st.integers(0, 40), rest=st.integers(1, 10), world=st.integers(1, 3), batch=st.integers(1, 4))
def test_stopped_at_any_step_every_process_goes_on_as_if_never_stopped(
    stop: int, rest: int, world: int, batch: int
) -> None:
    for rank in range(world):
        made = sampler(batch_size=batch, world_size=world, rank=rank)
        assert list(made.batches(stop, stop + rest)) == list(made.batches(0, stop + rest))[stop:]


@settings(deadline=None)
@given(images=st.integers(1, 40), world=st.integers(1, 3), batch=st.integers(1, 4))
def test_every_epoch_holds_every_image_once_over_all_processes(images: int, world: int, batch: int) -> None:
    steps = -(-3 * images // (world * batch))
    made = [
        Sampler(np.arange(images), np.arange(images) // 4, 3, batch, rank, world).batches(0, steps)
        for rank in range(world)
    ]
    seen = [pair for dealt in zip(*made, strict=True) for mine in dealt for pair in mine]
    for epoch in range(3):
        assert sorted(index for e, index in seen[: 3 * images] if e == epoch) == list(range(images))


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
