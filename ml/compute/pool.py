"""Work on many shards behind one call: on this machine a pool of processes, on a cluster Ray.

A pool outlives a stage, so that heavy imports are paid once.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import Protocol, TypeVar

from ml.compute.memory import keep_memory
from ml.errors import UserError
from ml.params import Shards

Result = TypeVar("Result")

GRACE_SECONDS = 0.5  # within which an interrupt reaches all processes of a group, on a busy machine too
AHEAD = 2  # shards handed out at a time, a worker: one that it works on, and the next


class Pool(Protocol):
    """Whoever does work on shards, wherever that is."""

    def map(
        self, function: Callable[[str], Result], shards: Sequence[str], gpu: bool = False
    ) -> Iterator[tuple[str, Result]]:
        """Yield (shard, result) as each is done. `function` must pickle; its exception ends the iteration.

        `gpu`: the work takes a GPU, where there are any to hand out.
        """
        ...

    def close(self) -> None:
        """Let go of the processes."""


def open_pool(params: Shards) -> Pool:
    """Ray where the params ask for it or `RAY_ADDRESS` names a cluster, else processes of this machine."""
    if params.pool == "ray" or os.environ.get("RAY_ADDRESS"):
        from ml.compute.ray_pool import RayPool

        return RayPool(params.retries)
    return ShardPool(params.workers)


def in_order(found: Iterator[tuple[str, Result]], shards: Sequence[str]) -> Iterator[Result]:
    """What `Pool.map` yields, in the order of `shards`; a result that is early waits for those before it."""
    early: dict[str, Result] = {}
    for shard in shards:
        while shard not in early:
            early.update([next(found)])
        yield early.pop(shard)


@contextmanager
def meanwhile(function: Callable[..., object], *arguments: object) -> Iterator[None]:
    """Call a function in a process of its own while the block runs, and wait for it at the end.

    Raises:
        UserError: the process was killed.
    """
    with alone() as executor:
        done = executor.submit(function, *arguments)
        yield
        outcome(done)


def apart(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a process of its own and wait for it: all the memory that it takes is given back.

    Raises:
        UserError: the process was killed.
    """
    with alone() as executor:
        return outcome(executor.submit(function, *arguments))


class ShardPool:
    """`workers` processes, each computing on one thread; one worker, or one shard, runs in the calling process."""

    def __init__(self, workers: int, knob: str = "shards.workers") -> None:
        """`knob`: the param that says how many."""
        self.workers, self.knob = workers, knob
        self._executor: ProcessPoolExecutor | None = None

    def map(
        self, function: Callable[[str], Result], shards: Sequence[str], gpu: bool = False
    ) -> Iterator[tuple[str, Result]]:
        """As `Pool.map`; the processes share the machine's GPUs, and wait where results are not taken.

        Raises:
            UserError: a process was killed; the next call starts new ones.
        """
        if self.workers == 1 or len(shards) == 1:
            yield from ((shard, _on_one_thread(function, shard)) for shard in shards)
            return
        waiting, running = iter(shards), dict[Future[Result], str]()
        try:
            running.update(self._submit(function, islice(waiting, AHEAD * self.workers)))
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    shard = running.pop(future)
                    running.update(self._submit(function, islice(waiting, 1)))
                    yield shard, future.result()
        except BrokenProcessPool as error:
            self.close()
            raise _killed(
                f"{self.knob}: one of {self.workers} processes was killed, most likely out of memory; "
                f"lower {self.knob} and run again: what is finished is kept"
            ) from error
        finally:
            for future in running:
                future.cancel()

    def close(self) -> None:
        """Wait for the processes and let go of them; the next `map` starts new ones."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def __enter__(self) -> "ShardPool":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _submit(self, function: Callable[[str], Result], shards: Iterable[str]) -> Iterator[tuple[Future[Result], str]]:
        return ((self._start().submit(function, shard), shard) for shard in shards)

    def _start(self) -> ProcessPoolExecutor:
        if self._executor is None:
            # Not fork: the parent holds Dagster's and torch's threads.
            context = multiprocessing.get_context("forkserver")
            self._executor = ProcessPoolExecutor(self.workers, context, initializer=_prepare)
        return self._executor


def alone() -> ProcessPoolExecutor:
    """A process that computes on one thread, as those of `ShardPool` do."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("forkserver"), initializer=_prepare)


def outcome(done: Future[Result]) -> Result:
    """What came of work in a process of its own.

    Raises:
        UserError: the process was killed.
    """
    try:
        return done.result()
    except BrokenProcessPool as error:
        raise _killed("a process was killed, most likely out of memory; run again with less beside it") from error


def _on_one_thread(function: Callable[[str], Result], shard: str) -> Result:
    """Call it in this process, with one thread as the others have: sums differ in the last bit with their number.

    So a shard has the same bytes whether it is the only one that is stale or one of thousands.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(shard)
    finally:
        torch.set_num_threads(before)


def _killed(reason: str) -> UserError:
    """What is raised for processes that were killed; an interrupt that ended them first is about to end this one."""
    time.sleep(GRACE_SECONDS)
    return UserError(reason)


def _prepare() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no trace: the process that was interrupted tells of it
    threading.Thread(target=_end_with_main, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"  # read by torch when it is first imported
    keep_memory()


def _end_with_main() -> None:
    """End this process when the main one is gone, killed alone for example: work for nobody would hold its memory."""
    if (main := multiprocessing.parent_process()) is not None:
        main.join()
        os._exit(1)
