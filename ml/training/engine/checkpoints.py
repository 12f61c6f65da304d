"""Points to resume from, kept under `data/.resume/STAGE` until the stage is done.

A point is DeepSpeed's own checkpoint (weights, optimizer, schedule) with the position in the data, the history so
far and the state of the random generators beside it. Beside the points lies the best model yet.
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
from ml.training.engine.engine import World
from ml.workspace.atomic import atomic_path, told, write_json

BEST = "best.safetensors"
ORIGIN = "origin.json"
UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, AssertionError, pickle.UnpicklingError)


@dataclass
class Progress:
    """How far a stage is: optimizer steps done, and its history (losses and measures, no times)."""

    step: int = 0
    train: list[dict[str, float]] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The resume folder of one stage."""

    def __init__(self, folder: Path, origin: Mapping[str, Any], world: World) -> None:
        """`origin`: what the stage is made from; a checkpoint made from anything else is dropped.

        Raises:
            UserError: the folder's checkpoint is of another number of processes.
        """
        self.folder, self.world = folder, world
        wanted = {**origin, "processes": world.size}
        found = _read(folder / ORIGIN)
        same = {**found, "processes": world.size} == wanted
        if same and found["processes"] != world.size:
            raise UserError(
                f"training.processes: {world.size}, but {folder} was saved by {found['processes']}; "
                "set it back to go on, or delete that folder to start anew"
            )
        barrier(world)
        if world.leads and not same:
            shutil.rmtree(folder, ignore_errors=True)
            write_json(folder / ORIGIN, wanted)
        barrier(world)

    @property
    def saved(self) -> int | None:
        """The step of the newest point; None where there is none."""
        latest = self.folder / "latest"  # DeepSpeed's note of the tag
        return int(latest.read_text().rpartition("_")[2]) if latest.is_file() else None

    def restore(self, engine: Any) -> Progress:
        """Load the newest point into `engine`; fresh progress where there is none.

        Raises:
            UserError: it can't be read, or its weights are not finite.
        """
        if self.saved is None:
            return Progress()
        anew = "delete that folder to start anew"
        try:
            _, state = engine.load_checkpoint(str(self.folder))
        except UNREADABLE as error:
            reason = cut(str(error), 80) or type(error).__name__
            raise UserError(f"{self.folder}: its checkpoint can't be read ({reason}); {anew}") from error
        if state is None:  # DeepSpeed's word for files that are not there
            raise UserError(f"{self.folder}: its checkpoint lacks files; {anew}")
        if fault := not_finite(dict(engine.module.named_parameters())):
            raise UserError(f"{self.folder}: {fault}; {anew}")
        generators = state["generators"][self.world.rank]
        torch.set_rng_state(generators["cpu"])
        if self.world.device.type == "cuda":
            torch.cuda.set_rng_state(generators["cuda"], self.world.device)
        return Progress(**state["progress"])

    def save(self, engine: Any, progress: Progress) -> None:
        """Write a point and remove the one before it."""
        generators: list[Any] = [None] * self.world.size
        if self.world.size > 1:
            torch.distributed.all_gather_object(generators, self._generators())
        else:
            generators = [self._generators()]
        tag = f"step_{progress.step:08d}"
        state = {"progress": asdict(progress), "generators": generators}
        with told(self.folder / tag):
            engine.save_checkpoint(str(self.folder), tag=tag, client_state=state)
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

    def _generators(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.world.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.world.device)
        return states


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
