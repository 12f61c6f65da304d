"""Shard work on this machine: a pool of processes that outlives a stage, so that heavy imports are paid once."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Result = TypeVar("Result")


class ShardPool:
    """`workers` processes, each computing on one thread; one worker runs in the calling process."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None

    def map(self, function: Callable[[str], Result], shards: Sequence[str]) -> Iterator[tuple[str, Result]]:
        """Yield (shard, result) as each is done. `function` must pickle; its exception ends the iteration."""
        if self.workers == 1 or len(shards) == 1:
            yield from ((shard, function(shard)) for shard in shards)
            return
        futures = {self._start().submit(function, shard): shard for shard in shards}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def __enter__(self) -> "ShardPool":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _start(self) -> ProcessPoolExecutor:
        if self._executor is None:
            # Not fork: the parent holds Dagster's and torch's threads.
            context = multiprocessing.get_context("forkserver")
            self._executor = ProcessPoolExecutor(self.workers, context, initializer=_one_thread)
        return self._executor


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # read by torch when it is first imported
