"""Asked to stop, a training saves at the end of its step first: Ctrl-C, SIGTERM (preempted), SIGUSR1 (its time is up).

A scheduler gives half a minute or more between the signal and the kill. Any process may be asked; all stop together.
"""

import signal
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from ml.training.engine.engine import World

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stopped(KeyboardInterrupt):
    """The training was asked to stop, and has saved. `again`: whoever asked wants it started once more."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.again = again


class Stopping:
    """Around the training loop: takes note of the signals instead of ending the process."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.asked: set[int] = set()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in ASKING}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number, handler in self._before.items():
            # The launcher ends the other processes as soon as one is gone: none is to be disturbed in its last words.
            signal.signal(number, signal.SIG_IGN if isinstance(error, Stopped) else handler)

    def agreed(self) -> Stopped | None:
        """What to raise once all is saved, where any process was asked; each calls it, at the same step."""
        import torch

        asked = torch.tensor([bool(self.asked), signal.SIGUSR1 in self.asked], dtype=torch.uint8)
        if self.world.size > 1:
            torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX, group=self.world.talk)
        stop, again = asked.tolist()
        return Stopped(bool(again)) if stop else None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked.add(number)
