"""Points to resume from, kept under `data/.resume/STAGE` until the stage is done.

A point is DeepSpeed's own checkpoint (weights, optimizer, schedule) with the position in the data and the history so
far beside it; random numbers are drawn by position. Beside the points lies the best model yet.
"""

import fcntl
import json
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ml.errors import UserError, cut
from ml.models.weights import not_finite
from ml.training.engine import universal
from ml.training.engine.engine import World
from ml.workspace.atomic import atomic_path, told, write_json

BEST = "best.safetensors"
ORIGIN = "origin.json"
UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, AssertionError, pickle.UnpicklingError)


@dataclass
class Progress:
    """How far a stage is: optimizer steps done, and its history (losses and measures, no times).

    `unrecorded`: the sums of the losses since the last record, of each process.
    """

    step: int = 0
    unrecorded: list[dict[str, float]] = field(default_factory=list)
    train: list[dict[str, float]] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The resume folder of one stage."""

    def __init__(self, folder: Path, origin: Mapping[str, Any], world: World) -> None:
        """`origin`: what the stage is made from; a checkpoint made from anything else is dropped."""
        self.folder, self.world = folder, world
        if world.leads and _read(folder / ORIGIN) != origin:
            shutil.rmtree(folder, ignore_errors=True)
            write_json(folder / ORIGIN, origin)
        barrier(world)

    @property
    def saved(self) -> int | None:
        """The step of the newest point; None where there is none."""
        return int(self._tag.rpartition("_")[2]) if self._tag else None

    @property
    def foreign(self) -> bool:
        """Whether the newest point was saved by another number of processes, each of which has cut it its own way."""
        parts = len([*(self.folder / self._tag).glob("*_optim_states.pt")]) if self._tag else 0
        return parts not in (0, self.world.size)  # none: without ZeRO every process has all of it

    @property
    def _tag(self) -> str:
        latest = self.folder / "latest"  # DeepSpeed's note of it
        return latest.read_text() if latest.is_file() else ""

    def restore(self, engine: Any) -> Progress:
        """Load the newest point into `engine`, built to read it as it is; fresh progress where there is none.

        Raises:
            UserError: it can't be read, or its weights are not finite.
        """
        if self.saved is None:
            return Progress()
        anew = "delete that folder to start anew"
        try:
            state = self._load(engine)
        except UNREADABLE as error:
            reason = cut(str(error), 80) or type(error).__name__
            raise UserError(f"{self.folder}: its checkpoint can't be read ({reason}); {anew}") from error
        if state is None:  # DeepSpeed's word for files that are not there
            raise UserError(f"{self.folder}: its checkpoint lacks files; {anew}")
        if fault := not_finite(dict(engine.module.named_parameters())):
            raise UserError(f"{self.folder}: {fault}; {anew}")
        return Progress(**state["progress"])

    def save(self, engine: Any, progress: Progress) -> None:
        """Write a point and remove the one before it."""
        tag = f"step_{progress.step:08d}"
        with told(self.folder / tag):
            engine.save_checkpoint(str(self.folder), tag=tag, client_state={"progress": asdict(progress)})
        barrier(self.world)
        if self.world.leads:
            for old in self.folder.glob("step_*"):
                if old.name != tag:
                    shutil.rmtree(old)

    def keep_best(self, state: Mapping[str, Tensor]) -> None:
        """Remember these weights as the best yet."""
        with atomic_path(self.folder / BEST) as tmp:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp)

    def best(self) -> dict[str, Tensor]:
        """The best weights yet."""
        return load_file(self.folder / BEST)

    def remove(self) -> None:
        """The stage is done: nothing is left to resume."""
        shutil.rmtree(self.folder)

    def _load(self, engine: Any) -> dict[str, Any] | None:
        if not self.foreign:
            return engine.load_checkpoint(str(self.folder))[1]
        if self.world.leads:
            universal.convert(self.folder, self._tag)
        barrier(self.world)
        state = universal.load(engine, self.folder)
        barrier(self.world)
        if self.world.leads:
            shutil.rmtree(self.folder / universal.TAG)
        return state


def barrier(world: World) -> None:
    """Wait for all processes."""
    if world.size > 1:
        torch.distributed.barrier()


@contextmanager
def locked(folder: Path, stage: str) -> Iterator[None]:
    """Keep a second run of the stage out, one that survived its killed parent for example.

    Raises:
        UserError: there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stage}.lock"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{path}: held by another process that trains {stage}; wait for it or end it") from error
        yield


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or cut short by a crash: there is nothing to go on from
        return {}
