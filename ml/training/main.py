"""One process of a training stage: `python -m ml.training.main --stage NAME --workspace DIR`.

DeepSpeed's launcher starts one a device. Rank 0 alone logs: to stderr, to MLflow, and to Dagster where Dagster Pipes
asks. Heavy imports come late, and MLflow's last of all: four stages pay for them.
"""

import argparse
import hashlib
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Never

from ml.compute.memory import keep_memory
from ml.compute.parent import end_with_parent
from ml.errors import UserError
from ml.params import Params
from ml.training.engine.stopping import Stopped
from ml.training.launchers.processes import AGAIN, ERROR
from ml.training.reporter import Reporter, pipes
from ml.training.tracking.provenance import PLACES
from ml.workspace import Workspace
from ml.workspace.keys import file_md5
from ml.workspace.settings import load

if TYPE_CHECKING:
    from ml.training.data.samples import TrainingData
    from ml.training.engine.engine import World
    from ml.training.tasks import Task

ORDER = ("mask_region_alignment", "text_region_grounding", "relevance_learning", "multimodal_finetuning")


def main(arguments: list[str] | None = None) -> int:
    """Run the stage; 0 done, 2 the user's input or environment is wrong, 75 saved, and to be started again."""
    parser = argparse.ArgumentParser(prog="python -m ml.training.main")
    parser.add_argument("--stage", required=True, choices=ORDER)
    parser.add_argument("--workspace", required=True, type=Path)
    options = parser.parse_args(arguments)
    try:
        run_stage(options.stage, Workspace(options.workspace))
    except UserError as error:
        print(f"{ERROR}{error}", file=sys.stderr, flush=True)
        return 2
    except Stopped as stop:
        print(f"{ERROR}{options.stage}: stopped when asked, and saved; run again to go on", file=sys.stderr, flush=True)
        return AGAIN if stop.again else 130
    except KeyboardInterrupt:
        print(f"{ERROR}{options.stage}: interrupted; run again to go on", file=sys.stderr, flush=True)
        return 130
    except RuntimeError as error:
        if not lost_touch(error):
            raise
        print(f"{options.stage}: another process is gone ({str(error).splitlines()[0]})", file=sys.stderr, flush=True)
        return AGAIN
    return 0


def lost_touch(error: RuntimeError) -> bool:
    """Whether a collective has failed, as it does in all other processes when one is gone."""
    return type(error).__name__.startswith("Dist") or "gloo" in str(error)


def run_stage(stage: str, ws: Workspace) -> None:
    """Train a stage in this process, as one of those that the launcher started.

    Raises:
        UserError: the params, the data or the machine is not fit for it.
    """
    from ml.training.engine import engine
    from ml.training.engine.checkpoints import locked

    keep_memory()
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    params = load(ws.params_file)
    world = engine.join(params.training.processes)
    if not world.leads:
        return train_stage(stage, ws, params, world, Reporter(stage))
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    with locked(ws.resume, stage), pipes() as dagster:
        return train_stage(stage, ws, params, world, Reporter(stage, dagster))


def interrupt(number: int, frame: FrameType | None) -> Never:
    """End the stage with its last words, undisturbed: Ctrl-C, and the launcher after it, say so more than once."""
    for again in (signal.SIGTERM, signal.SIGINT):
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def train_stage(stage: str, ws: Workspace, params: Params, world: "World", reporter: Reporter) -> None:
    """Build what the loop needs, run it, and write what it made."""
    import torch

    from ml.training import loop
    from ml.training.data.samples import TrainingData
    from ml.training.engine import engine
    from ml.training.engine.checkpoints import Checkpoints

    data, section = TrainingData(ws), getattr(params, stage)
    torch.manual_seed(params.seed)
    task, side = make_task(stage, ws, params, world)
    check_features(params, data, task)
    checkpoints = Checkpoints(ws.resume / stage, origin(stage, ws, params, data), world)
    deepspeed, schedule = engine.build(
        task, params.training, section.lr, section.steps, world, universal=checkpoints.foreign
    )
    with reporter.tracked(ws, params, section.steps, data.digests, checkpoints) if world.leads else reporter:
        told = reporter.metrics, reporter.resumed
        run = loop.Run(stage, params, section.steps, side, world, data, task, deepspeed, schedule, checkpoints, *told)
        progress = loop.train(run)
        loop.finish(run, progress, ws.stage(stage))
        reporter.done(progress)


def make_task(stage: str, ws: Workspace, params: Params, world: "World") -> tuple["Task", int]:
    """The stage's task on the model of the stage before, and the side of SAM's frame in pixels.

    Raises:
        UserError: the backbones or the stage before are missing.
    """
    from ml.models.arrcoc import ARRCOC, ModelConfig
    from ml.models.frozen.clip import load_clip
    from ml.models.frozen.sam import load_sam, read_sam_config
    from ml.models.frozen.texts import TextBank
    from ml.training.tasks import TASKS

    backbones, first = ws.stage("backbones"), stage == ORDER[0]
    clip, sam, cached = load_clip(backbones), read_sam_config(backbones / "sam.json"), params.training.cached_features
    # Made in the first stage in any case: that draws random numbers, on which the model's first weights depend.
    encoder = load_sam(backbones) if first or not cached else None
    if first:
        temperature = params.mask_region_alignment.temperature
        model = ARRCOC(ModelConfig.from_backbones(params.model, params.labels, sam, clip, temperature))
    else:
        model = ARRCOC.load(upstream(stage, ws).parent)
    encoder = encoder.to(world.device) if encoder and not cached else None
    return TASKS[stage](model, TextBank(clip, world.device, model.config.language), encoder, params), sam.image_size


def upstream(stage: str, ws: Workspace) -> Path:
    """The weights of the stage before.

    Raises:
        UserError: they are missing.
    """
    before = ORDER[ORDER.index(stage) - 1]
    path = ws.stage(before) / "model.safetensors"
    if not path.is_file():
        raise UserError(f"{path}: missing; materialize the stage `{before}` first")
    return path


def check_features(params: Params, data: "TrainingData", task: "Task") -> None:
    """Refuse cached features that the params or the model do not fit.

    Raises:
        UserError: no mirrored view though flips are asked for, or features of another SAM.
    """
    if not params.training.cached_features:
        return
    views, channels, *grid = data.feature_shape()
    if params.training.augment.flip > 0 and views < 2:
        raise UserError(
            f"training.augment.flip: {params.training.augment.flip}, but image_features hold no mirrored view; "
            "set it to 0, or features.flip to true"
        )
    config = task.model.config
    if (channels, *grid) != (config.sam_dim, config.grid, config.grid):
        raise UserError(
            f"image_features: found {channels} channels on a {grid} grid, the model wants {config.sam_dim} on "
            f"{[config.grid, config.grid]}; materialize `image_features` and `mask_region_alignment` again"
        )


def origin(stage: str, ws: Workspace, params: Params, data: "TrainingData") -> dict[str, Any]:
    """What decides the outcome of a stage: a checkpoint made from anything else is of no use."""
    values = params.model_dump(mode="json")
    sections = {name: values[name] for name in ("seed", "model", *ORDER)}
    training = {name: value for name, value in values["training"].items() if name not in PLACES}
    files = sorted(ws.stage("backbones").glob("*.safetensors")) + ([] if stage == ORDER[0] else [upstream(stage, ws)])
    digest = hashlib.sha256("".join(file_md5(file) for file in files).encode()).hexdigest()
    return {"stage": stage, "params": sections | {"training": training}, "weights": digest, "data": data.digests}


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())
