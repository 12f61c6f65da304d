"""What all of SA-1B takes with preset sa1b: bytes, core-hours, GPU-hours, hours and money, stage by stage.

Processor rates are measured here and now, on an image of SA-1B's size; GPU work is counted in operations and priced by
the one published time of SAM's encoder; labels and the data card are measured in the workspace; all else is an input
with its source (`scale.yaml`).
"""

import io
import sys
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import pyarrow.parquet as pq

from ml.bench.files import Pair, read_pair, write_shard
from ml.bench.measure import machine, seconds
from ml.errors import UserError
from ml.labeling.geometry.crops import masked_crops
from ml.labeling.geometry.eye import Eye
from ml.labeling.geometry.hierarchy import assign
from ml.labeling.kept import read_kept
from ml.labeling.training_set.statistics import Statistics
from ml.params import Params
from ml.pipeline import SHARDED, TRAINING
from ml.sa1b.reading.padding import to_frame
from ml.sa1b.reading.phash import phash
from ml.sa1b.reading.reader import decode
from ml.sa1b.shards.filter import write_kept
from ml.sa1b.shards.index import Tally, write_masks
from ml.workspace import Workspace, lineage, yamlfile
from ml.workspace.settings import preset

INPUTS = Path(__file__).with_name("scale.yaml")
FEW, MANY, REPEATS = 10, 60, 3  # images of a shard, calls
FRAME, HALF = 1024, 2  # pixels, bytes
EYE = Eye(224, "bicubic", "shortest")  # of preset sa1b's CLIP and CoCa
Given = dict[str, dict[str, Any]]
Figures = dict[str, float]


@dataclass(frozen=True)
class Work:
    """What a stage does in all. `images`: how many it takes; `per_image`: seconds of a core and of a GPU for one."""

    stage: str
    bytes: float
    images: float
    core_seconds: float = 0.0
    gpu_seconds: float = 0.0
    link: bool = False  # its bytes come over the line


@dataclass(frozen=True)
class Fleet:
    """`tasks`: how many shards are at work at once; a task has one core, and waits for its GPU."""

    name: str
    nodes: int
    gpus: int
    tasks: int
    gpu_tasks: int


def scale(ws: Workspace, pair: Path | None = None, inputs: Path | None = None) -> dict[str, Any]:
    """The whole plan: {"machine", "inputs", "measured", "recorded", "stages", "plans"}.

    Args:
        pair: a JSON of SA-1B with its JPEG beside it; None: a toytown scene at SA-1B's size.
        inputs: a file like `scale.yaml`.

    Raises:
        UserError: a file can't be read, or the workspace has no finished training set.
    """
    given, params = read_inputs(inputs or INPUTS), preset("sa1b")
    values = {name: float(entry["value"]) for name, entry in given.items()}
    measured = from_workspace(ws) | measure(read_pair(pair), params) | operations(params, values)
    work = line(params, values, measured)
    fleets = [
        Fleet("one node", 1, int(values["node_gpus"]), params.shards.workers, params.shards.workers),
        _cluster(values),
    ]
    return {
        "machine": machine(),
        "inputs": given,
        "measured": {name: float(f"{value:.4g}") for name, value in measured.items()},
        "recorded": recorded(ws),
        "stages": [_totals(one) for one in work],
        "plans": [plan(fleet, work, values) for fleet in fleets],
    }


def read_inputs(path: Path) -> Given:
    """The inputs of a file: {name: {"value", "unit", "source"}}.

    Raises:
        UserError: it can't be read, or an input is missing, unknown or no positive number.
    """
    known, found = (yamlfile.read(file, f"copy {INPUTS} and change its values") for file in (INPUTS, path))
    if wrong := sorted(set(known) ^ set(found)):
        raise UserError(f"{path}: {', '.join(wrong)}: missing or unknown; the inputs are {', '.join(known)}")
    for name, entry in found.items():
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0 or not entry.get("source"):
            raise UserError(f"{path}: {name}: found {entry!r}; a positive `value` and its `source` are wanted")
    return found


def measure(pair: Pair, params: Params) -> Figures:
    """Seconds of one core, and bytes, an image: index, filter, JPEG to SAM's frame, JPEG to crops and hash."""
    cv2.setNumThreads(1)
    _tell("measuring the index, the filter, JPEGs and crops")
    with TemporaryDirectory() as name:
        folder = Path(name)
        index, kept = folder / "index.parquet", folder / "kept.parquet"
        many, few, _ = (  # the last leaves the files of one image: copies would compress too well
            _shard_seconds(write_shard(folder, pair, images), index, kept, params) for images in (MANY, FEW, 1)
        )
        masks = next(iter(read_kept(kept))).masks()
        sizes = {"index_bytes": index.stat().st_size, "kept_bytes": kept.stat().st_size}
    indexing, filtering = ((long - short) / (MANY - FEW) for long, short in zip(many, few, strict=True))
    margin = params.labels.crop_margin
    return {
        "jpeg_bytes": len(pair.jpeg),
        "masks": len(pair.counts),
        "kept_masks": len(masks),
        "index_seconds": indexing,
        "filter_seconds": filtering,
        "frame_seconds": seconds(lambda: to_frame(decode(pair.jpeg), FRAME), REPEATS),
        "crops_seconds": seconds(lambda: _crops(pair.jpeg, masks, margin), REPEATS),
        **sizes,
    }


def _shard_seconds(tar: Path, index: Path, kept: Path, params: Params) -> tuple[float, float]:
    """Seconds of one core for the index and for the filter of a shard, without their reports, a fixed 0.2 s a shard."""
    indexing = seconds(lambda: write_masks(index, tar, Tally()), REPEATS)
    return indexing, seconds(lambda: write_kept(kept, index, params.filter, assign), REPEATS)


def from_workspace(ws: Workspace) -> Figures:
    """Bytes of labels, and seconds of one core for the data card, an image.

    Raises:
        UserError: the stages have not been run.
    """
    files = sorted(ws.stage("pseudo_labels").glob("*.parquet"))
    if not files:
        raise UserError(f"{ws.root}: no labels to measure on; run arrcoc run first")
    images = [pq.read_metadata(file).num_rows for file in files]
    rejects, kept = ws.shard_file("mask_index", files[0].stem, ".rejects.parquet"), ws.stage("filtered_masks")
    card = seconds(lambda: Statistics().add_shard(rejects, kept / files[0].name, files[0]), REPEATS)
    size = sum(file.stat().st_size for file in files)
    return {"label_bytes": size / sum(images), "card_seconds": card / images[0]}


def recorded(ws: Workspace) -> Figures:
    """Images/s of the workspace's own shard stages when they last ran, all of them, on its size of image."""
    images = sum(pq.read_metadata(file).num_rows for file in ws.stage("pseudo_labels").glob("*.parquet"))
    took = {name: lineage.seen(ws, name).get("seconds") for name in SHARDED}
    return {name: float(f"{images / value:.4g}") for name, value in took.items() if value}


def operations(params: Params, values: Figures) -> Figures:
    """Operations an image, and the rate of a GPU that the published time of SAM's encoder stands for."""
    from ml.bench.scale.flops import count

    _tell("counting the operations of SAM, CLIP, the captioner and the trained part")
    with redirect_stderr(io.StringIO()):  # open_clip's remarks
        found = count(params, int(values["caption_tokens"]))
    return {f"{name}_flops": value for name, value in asdict(found).items()} | {
        "gpu_flops": found.sam / values["sam_seconds"]
    }


def line(params: Params, given: Figures, found: Figures) -> list[Work]:
    """The stages that grow with the data, in order. Benchmarks, compression and release do not."""
    images, rate = given["images"], found["gpu_flops"]
    denser = given["masks"] / images / found["masks"]  # than the image measured on
    cached, grid = params.training.cached_features, FRAME // 16
    views = 1 + params.features.flip if cached else 0
    features = views * 256 * grid * grid * HALF
    labels = found["label_bytes"] + found["kept_masks"] * 768 * HALF
    gpu = {name: found[f"{name}_flops"] / rate for name in ("sam", "labels", "head")}
    trained = 0.0 if cached else gpu["sam"]
    shards = given["shards"] * given["shard_bytes"]
    encoding = views * found["frame_seconds"], views * gpu["sam"]
    training = params.training
    batch = training.global_batch
    return [
        Work("sa1b_shards", shards, images, link=True),
        Work("mask_index", images * denser * found["index_bytes"], images, denser * found["index_seconds"]),
        Work("filtered_masks", images * found["kept_bytes"], images, denser * found["filter_seconds"]),
        Work("pseudo_labels", images * labels, images, found["crops_seconds"], gpu["labels"]),
        Work("image_features", images * features, images, *encoding),
        Work("training_set", 0, images, found["card_seconds"]),
        *(
            Work(name, 0, getattr(params, name).steps * batch, found["frame_seconds"], trained + gpu["head"])
            for name in TRAINING
        ),
    ]


def plan(fleet: Fleet, work: list[Work], given: Figures) -> dict[str, Any]:
    """Hours of each stage on a fleet, what it costs, and how many samples a day go from tar to training set."""
    hours = {one.stage: _hours(one, fleet, given) for one in work}
    data = sum(spent for stage, spent in hours.items() if stage not in TRAINING)
    training, a_day = sum(hours.values()) - data, 24 * given["images"] / data
    return {
        "plan": fleet.name,
        "nodes": fleet.nodes,
        "gpus": fleet.gpus,
        "hours": {stage: float(f"{spent:.3g}") for stage, spent in hours.items()},
        "data_hours": round(data, 1),
        "training_hours": round(training, 1),
        "usd": round((data + training) * fleet.nodes * given["node_usd"]),
        "samples_a_day": round(a_day),
        "times_the_goal": float(f"{a_day / given['goal']:.3g}"),
        "fits_its_disks": sum(one.bytes for one in work) <= fleet.nodes * given["node_bytes"],
    }


def _hours(work: Work, fleet: Fleet, given: Figures) -> float:
    if work.link:
        return work.bytes * 8 / (given["link_gbit"] * 1e9) / 3600
    if work.stage in TRAINING:  # loader processes work ahead of the GPUs
        apart = work.gpu_seconds / fleet.gpus, work.core_seconds / (fleet.nodes * given["node_cores"])
        return work.images * max(apart) / 3600
    tasks = fleet.gpu_tasks if work.gpu_seconds else fleet.tasks
    if work.stage == "training_set":
        tasks = min(tasks, -(-int(given["shards"]) // preset("sa1b").shards.group_size))
    # A task decodes and cuts a batch while its models are busy with the one before.
    return work.images * max(work.core_seconds / tasks, work.gpu_seconds / fleet.gpus) / 3600


def _cluster(given: Figures) -> Fleet:
    """Ray gives a task one core, or a core and a whole GPU."""
    nodes = int(given["cluster_nodes"])
    gpus, cores = nodes * int(given["node_gpus"]), nodes * int(given["node_cores"])
    return Fleet("cluster, Ray", nodes, gpus, cores, gpus)


def _totals(work: Work) -> dict[str, Any]:
    hours = {"core_hours": work.core_seconds, "gpu_hours": work.gpu_seconds}
    return {"stage": work.stage, "images": round(work.images), "bytes": round(work.bytes)} | {
        name: float(f"{work.images * each / 3600:.4g}") for name, each in hours.items()
    }


def _crops(jpeg: bytes, masks: Any, margin: float) -> None:
    """What `pseudo_labels` does before its models: crops for captioner and CLIP, which see alike, and the hash."""
    image = decode(jpeg)
    masked_crops(image, masks, EYE, margin)
    EYE.whole(image)
    phash(image)


def _tell(text: str) -> None:
    print(f"scale: {text} ...", file=sys.stderr, flush=True)
