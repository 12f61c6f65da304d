"""Which images make which batch: a pure function of the seed and a position, so that resuming needs one number."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

WINDOW = 4  # blocks shuffled together; more mixes better, fewer keeps the reading local


@dataclass(frozen=True)
class Sampler:
    """An endless stream of images, epoch after epoch, dealt to the processes batch by batch.

    Attributes:
        images: int64 [n], the indices to draw from.
        blocks: [n], the block each lies in; blocks are shuffled, then the images of a few blocks among themselves.
        batch_size: images a process and micro-step.
    """

    images: np.ndarray
    blocks: np.ndarray
    seed: int
    batch_size: int
    rank: int = 0
    world_size: int = 1

    def batches(self, start: int, stop: int) -> Iterator[list[tuple[int, int]]]:
        """The batches of micro-steps `start` to `stop`, each as (epoch, image index) pairs."""
        epoch, order = -1, self.images
        for step in range(start, stop):
            batch = []
            first = (step * self.world_size + self.rank) * self.batch_size
            for position in range(first, first + self.batch_size):
                if position // len(self.images) != epoch:
                    epoch = position // len(self.images)
                    order = self.order(epoch)
                batch.append((epoch, int(order[position % len(self.images)])))
            yield batch

    def order(self, epoch: int) -> np.ndarray:
        """The images of an epoch in order: int64 [n], each once. One sort: eleven million take seconds."""
        rng = np.random.default_rng([self.seed, epoch])
        by_block = np.argsort(self.blocks, kind="stable")
        starts = np.flatnonzero(np.diff(self.blocks[by_block], prepend=-1))
        members = np.split(by_block, starts[1:])
        blocks = rng.permutation(len(members))
        windows = [blocks[i : i + WINDOW] for i in range(0, len(blocks), WINDOW)]
        return np.concatenate([rng.permutation(self.images[_together(members, window)]) for window in windows])


def _together(members: list[np.ndarray], blocks: np.ndarray) -> np.ndarray:
    """The positions of all images of some blocks, ascending."""
    return np.sort(np.concatenate([members[block] for block in blocks]))


def validation_batches(images: np.ndarray, batch_size: int, rank: int, world_size: int) -> list[list[tuple[int, int]]]:
    """This process's share of the validation images; every process gets as many batches, the last maybe empty."""
    dealt = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    rounds = -(-len(dealt) // world_size)
    mine = [dealt[i] if i < len(dealt) else images[:0] for i in range(rank, rounds * world_size, world_size)]
    return [[(0, int(index)) for index in batch] for batch in mine]
