"""The training loop of every stage, from the first batch to the finished folder under `data/`."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from ml.errors import UserError
from ml.models.arrcoc import ARRCOC, CONFIG, WEIGHTS
from ml.models.weights import write_weights
from ml.params import Params
from ml.training.data.batches import Batch, Examples
from ml.training.data.sampler import Sampler, validation_batches
from ml.training.data.samples import TrainingData
from ml.training.engine.checkpoints import Checkpoints, Progress, barrier
from ml.training.engine.engine import World, summed, weights
from ml.training.engine.schedule import Schedule
from ml.training.engine.stopping import Stopping
from ml.training.tasks import Task
from ml.workspace.atomic import atomic_dir, write_json

VALIDATION_IMAGES = 1024  # at most: a fraction of eleven million would be another epoch

Log = Callable[[Mapping[str, float], int], None]  # metrics, step; called on rank 0 only


@dataclass(frozen=True)
class Run:
    """What a stage trains with. `engine` is DeepSpeed's, around `task`."""

    stage: str
    params: Params
    steps: int
    side: int  # of SAM's frame in pixels
    world: World
    data: TrainingData
    task: Task
    engine: Any
    schedule: Schedule
    checkpoints: Checkpoints
    log: Log
    resumed: Callable[[int], None]  # takes the step of the checkpoint it goes on from; called on rank 0 only


def train(run: Run) -> Progress:
    """Train to the last step, validating on the way; goes on from a checkpoint where there is one."""
    progress = run.checkpoints.restore(run.engine)
    if progress.step and run.world.leads:
        run.resumed(progress.step)
    batches, accumulation = training_batches(run, progress.step), run.params.training.accumulation
    window = Window(run.world, progress.unrecorded)
    if not run.steps:  # the model is handed on as it is
        judge(run, progress, validate(run))
    with Stopping(run.world) as stopping:
        for step in range(progress.step + 1, run.steps + 1):
            for micro_step in range((step - 1) * accumulation, step * accumulation):
                draw_by_position(run, micro_step)
                loss, terms, _ = run.engine(next(batches).to(run.world.device))
                run.engine.backward(loss)
                run.engine.step()
                window.add(loss, terms)
            progress.step = step
            due, stop = is_due(run, step), stopping.agreed()
            if due or step % run.params.training.log_interval == 0:
                record(run, progress, window)
            if due:
                judge(run, progress, validate(run))
            if due or stop:
                progress.unrecorded = window.state()
                run.checkpoints.save(run.engine, progress)
            if stop:
                raise stop
    return progress


def draw_by_position(run: Run, micro_step: int) -> None:
    """Seed what is random in a forward pass (dropout) by the batch, whichever process of how many sees it."""
    position = [run.params.seed, micro_step * run.world.size + run.world.rank]
    torch.manual_seed(int(np.random.SeedSequence(position).generate_state(1)[0]))


def training_batches(run: Run, start: int) -> Iterator[Batch]:
    """The batches of this process from optimizer step `start` on."""
    params = run.params.training
    images = run.data.train.nonzero()[0]
    blocks = run.data.blocks[images]
    sampler = Sampler(images, blocks, run.params.seed, params.batch_size, run.world.rank, run.world.size)
    positions = sampler.batches(start * params.accumulation, run.steps * params.accumulation)
    return explained(iter(loader(run, positions, train=True)), params.loader_workers)


def explained(batches: Iterator[Batch], workers: int) -> Iterator[Batch]:
    """The batches; what ends a loader process is told in one line.

    Raises:
        UserError: a loader process met one, or was killed.
    """
    try:
        yield from batches
    except UserError as error:  # around one of a loader process torch puts its trace
        raise UserError(str(error).strip().rpartition("UserError: ")[2]) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            f"training.loader_workers: one of the {workers} processes that load was killed, most likely out of memory; "
            "lower training.loader_workers or training.batch_size"
        ) from error


def loader(run: Run, positions: Iterable[list[tuple[int, int]]], train: bool) -> DataLoader:
    """Batches at given positions; `loader_workers` processes make them ahead of time."""
    params = run.params.training
    workers = params.loader_workers if train else 0
    return DataLoader(
        Examples(run.data, params, run.side, run.params.seed, train),
        batch_size=None,
        sampler=positions,
        num_workers=workers,
        multiprocessing_context="forkserver" if workers else None,
        generator=torch.Generator(),  # its own: the loader must not move the state that a checkpoint restores
    )


def is_due(run: Run, step: int) -> bool:
    """Whether to validate after a step."""
    return step in validation_steps(run.steps, run.params.training.validations)


def validation_steps(steps: int, validations: int) -> list[int]:
    """After which steps to validate, the last always among them."""
    return sorted({max(1, steps * i // validations) for i in range(1, validations + 1)})


class Window:
    """Means of the loss and its terms since the last record."""

    def __init__(self, world: World, states: Sequence[Mapping[str, float]] = ()) -> None:
        """`states`: what `state` gave; where there are as many processes as then, each goes on with its own sums."""
        self.world = world
        self.clear()
        if states:
            mine = states[world.rank :: world.size]
            self.count = round(sum(state["count"] for state in states)) // world.size
            for state in mine:
                self._add({name: torch.tensor(state[name], device=world.device) for name in state if name != "count"})

    def state(self) -> list[dict[str, float]]:
        """What has been added, of each process; every process must call it."""
        mine = {"count": self.count, **{name: float(value) for name, value in self.sums.items()}}
        states: list[Any] = [mine] * self.world.size
        if self.world.size > 1:
            torch.distributed.all_gather_object(states, mine, group=self.world.talk)
        return states if self.count else []

    def clear(self) -> None:
        """Forget the sums; time counts from now."""
        self.sums: dict[str, torch.Tensor] = {}
        self.count = 0
        self.since = time.monotonic()

    def add(self, loss: torch.Tensor, terms: Mapping[str, torch.Tensor]) -> None:
        """Add a micro-step's loss and its detached terms, all scalars, without waiting for their device."""
        self._add({"loss": loss.detach(), **terms})
        self.count += 1

    def _add(self, values: Mapping[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()

    def means(self) -> dict[str, float]:
        """Over all processes; every process must call it."""
        values = summed(torch.stack(list(self.sums.values())).float(), self.world)
        means = values / (self.count * self.world.size)
        return dict(zip(self.sums, means.tolist(), strict=True))


def record(run: Run, progress: Progress, window: Window) -> None:
    """Put the window's means into the history and the log, and begin a new one.

    Raises:
        UserError: the loss is not finite.
    """
    means, micro_steps = window.means(), window.count
    if not math.isfinite(means["loss"]):
        raise UserError(f"{run.stage}: the loss is {means['loss']} at step {progress.step}; lower {run.stage}.lr")
    seconds = (time.monotonic() - window.since) * run.params.training.accumulation / micro_steps
    rate = run.schedule.rate(progress.step - 1)
    progress.train.append({"step": progress.step, **means, "lr": rate})
    if run.world.leads:
        images = run.params.training.global_batch
        speed = {"train/seconds_per_step": seconds, "train/images_per_second": images / seconds}
        norm = {"train/grad_norm": float(run.engine.get_global_grad_norm() or 0.0)}
        named = {f"train/{name}": value for name, value in means.items()}
        run.log({**named, "train/lr": rate, **norm, **speed}, progress.step)
    window.clear()


@torch.no_grad()
def validate(run: Run) -> dict[str, float]:
    """Mean loss and measures over the validation images of all processes.

    Raises:
        UserError: they have nothing that the stage is judged by.
    """
    images = run.data.validation.nonzero()[0][:VALIDATION_IMAGES]
    dealt = validation_batches(images, run.params.training.batch_size, run.world.rank, run.world.size)
    # A process without a batch of its own still takes part: ZeRO-3 gathers weights in every forward pass.
    positions = [batch or [(0, int(images[0]))] for batch in dealt]
    totals: dict[str, torch.Tensor] = {}
    run.engine.eval()
    for mine, batch in zip(dealt, loader(run, positions, train=False), strict=True):
        loss, _, measured = run.engine(batch.to(run.world.device))
        for name, pair in {"loss": (loss * len(mine), torch.tensor(float(len(mine)))), **measured}.items():
            counted = torch.stack([part.double().to(run.world.device) for part in pair]) * bool(mine)
            totals[name] = totals[name] + counted if name in totals else counted
    run.engine.train()
    sums = summed(torch.stack(list(totals.values())), run.world)
    found = dict(zip(totals, sums.tolist(), strict=True))
    if not found[run.task.judged_by][1]:
        raise UserError(
            f"{run.stage}: none of {len(images)} validation images has anything to measure {run.task.judged_by} on; "
            "raise training_set.validation_fraction or shards.count, or see why `pseudo_labels` asks nothing"
        )
    return {name: float(total / max(count, 1)) for name, (total, count) in found.items()}


def judge(run: Run, progress: Progress, measured: dict[str, float]) -> None:
    """Record a validation, and keep the model where it is the best yet by the task's measure.

    Raises:
        UserError: the loss is not finite.
    """
    if not math.isfinite(measured["loss"]):
        loss = f"the validation loss is {measured['loss']} at step {progress.step}"
        raise UserError(f"{run.stage}: {loss}; lower {run.stage}.lr")
    progress.validation.append({"step": progress.step, **measured})
    value = measured[run.task.judged_by]
    run.schedule.observe(value)
    if not progress.best or value > progress.best["value"]:
        metrics = {f"val/{name}": number for name, number in measured.items()}
        progress.best = {"step": progress.step, "by": run.task.judged_by, "value": value, "metrics": metrics}
        state = weights(run.engine, run.world)
        if run.world.leads:
            run.checkpoints.keep_best(state)
    if run.world.leads:
        run.log({f"val/{name}": number for name, number in measured.items()}, progress.step)


def finish(run: Run, progress: Progress, out: Path) -> None:
    """Write the best model, which that is, and both curves to `out`, whole or not at all; then forget the checkpoints.

    A curve is a file, a list of rows: the form that `dvc plots` reads.
    """
    if run.world.leads:
        model = ARRCOC(run.task.model.config)
        model.load_state_dict(run.checkpoints.best())
        with atomic_dir(out) as tmp:
            write_weights(tmp / WEIGHTS, model)
            (tmp / CONFIG).write_text(model.config.to_json(), encoding="utf-8")
            write_json(tmp / "best.json", {"stage": run.stage, "steps": run.steps, "best": progress.best})
            write_json(tmp / "train.json", progress.train)
            write_json(tmp / "validation.json", progress.validation)
        run.checkpoints.remove()
    barrier(run.world)
