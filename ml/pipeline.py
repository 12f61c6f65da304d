"""The table of contents: one function a stage, from what it reads to what it writes.

Each imports its room late, so that a stage pays only for what it uses. `run` is what the command line, DVC and
Dagster all call.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ml import keys, stages
from ml.atomic import atomic_dir
from ml.errors import UserError
from ml.params import Params
from ml.pool import open_pool
from ml.report import Report
from ml.workspace import Workspace

if TYPE_CHECKING:
    from ml.models.clip import Clip
    from ml.models.sam import Sam

TOYTOWN = "toytown"


def run(stage: str, ws: Workspace, params: Params, shard: str | None = None) -> Report:
    """Run a stage: one shard or group of it, or all of them in a pool.

    Raises:
        UserError: no such stage or shard, a shard of a stage that has none, or the stage's input is wrong.
    """
    if stage in WHOLE and shard is not None:
        raise UserError(f"{stage}: found --shard {shard}, but it is one piece; leave --shard out")
    if stage in WHOLE:
        return WHOLE[stage](ws, params)
    if stage not in SHARDED:
        raise UserError(f"stage {stage!r} is unknown; choose from {', '.join([*SHARDED, *WHOLE])}")
    known = partitions(stage, ws, params)
    if shard is not None and shard not in known:
        raise UserError(f"{stage}: no shard {shard!r}; there are {known[0]} to {known[-1]}")
    if shard is not None:
        return run_shard(stage, ws, params, shard)
    with closing(open_pool(params.shards)) as pool:
        work = partial(run_shard, stage, ws, params)
        return merge([report for _, report in sorted(pool.map(work, known, stage in ON_GPU))])


def run_shard(stage: str, ws: Workspace, params: Params, shard: str) -> Report:
    """Run one shard or group of a stage, unless its output is current."""
    made_from = shard_key(stage, ws, params, shard)
    outputs = shard_outputs(stage, ws, shard)
    if keys.is_current(ws, stage, shard, made_from, outputs):
        return Report(skipped=True)
    report = SHARDED[stage](ws, params, shard)
    keys.record(ws, stage, shard, made_from, outputs)
    return report


def shard_key(stage: str, ws: Workspace, params: Params, shard: str) -> str:
    """The digest of what one shard's output depends on: code, params and input bytes."""
    declared = stages.stage(ws, stage)
    inputs = shard_inputs(stage, ws, params, shard)
    return keys.key(ws, declared.code_digest(ws), declared.shard_values(params), inputs)


def partitions(stage: str, ws: Workspace, params: Params) -> list[str]:
    """The shards or groups of a stage, in order."""
    from ml.sa1b.sources import list_shards

    shards = list_shards(params, ws)
    return list(group_shards(shards, params.shards.group_size)) if stage == "training_set" else shards


def group_shards(shards: Sequence[str], size: int) -> dict[str, list[str]]:
    """Consecutive shards in groups of at most `size`: {"group_000": [shard, ...], ...}."""
    groups = [list(shards[start : start + size]) for start in range(0, len(shards), size)]
    digits = max(3, len(str(len(groups) - 1)))  # names sort as their numbers do
    return {f"group_{number:0{digits}d}": members for number, members in enumerate(groups)}


def shard_inputs(stage: str, ws: Workspace, params: Params, shard: str) -> list[Path]:
    """The files that one shard of a stage reads."""
    if stage == "training_set":
        members = group_shards(partitions("sa1b_shards", ws, params), params.shards.group_size)[shard]
        return [ws.stage("benchmark_data") / "hashes.parquet"] + [
            path
            for name in members
            for upstream in ("sa1b_shards", "mask_index", "filtered_masks", "pseudo_labels", "image_features")
            for path in shard_outputs(upstream, ws, name)
        ]
    upstream = stages.stage(ws, stage).upstream
    folders = [ws.stage(name) for name in upstream if name not in SHARDED]
    whole = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    return whole + [path for name in upstream if name in SHARDED for path in shard_outputs(name, ws, shard)]


def shard_outputs(stage: str, ws: Workspace, shard: str) -> list[Path]:
    """The files that one shard of a stage writes."""
    return [ws.shard_file(stage, shard, suffix) for suffix in SUFFIXES[stage]]


def merge(reports: Sequence[Report]) -> Report:
    """One report for a stage from those of its shards: numbers and rejects summed, the first pictures kept."""
    merged = Report(skipped=all(report.skipped for report in reports))
    for report in reports:
        for name, value in report.numbers.items():
            before = merged.numbers.get(name, 0)
            both = isinstance(value, int) and isinstance(before, int)
            merged.numbers[name] = int(value) + int(before) if both else value
        for reason, count in report.rejected.items():
            merged.rejected[reason] = merged.rejected.get(reason, 0) + count
        for name, rows in report.tables.items():
            merged.tables.setdefault(name, []).extend(rows)
        for name, png in report.pictures.items():
            merged.pictures.setdefault(name, png)
    return merged


# --- the shard stages -----------------------------------------------------------------------------------------


def sa1b_shards(ws: Workspace, params: Params, shard: str) -> Report:
    """The shard's tar: drawn, downloaded, or a local folder's, in place."""
    if params.shards.source == TOYTOWN:
        from ml.toytown.shards import write_shard

        return write_shard(int(shard.removeprefix("sa_")), params, ws.shard_file("sa1b_shards", shard, ".tar"))
    from ml.sa1b.sources import fetch

    return fetch(shard, params, ws)


def mask_index(ws: Workspace, params: Params, shard: str) -> Report:
    """A row a mask from one pass over the tar; what is broken goes to the rejects with its reason."""
    from ml.sa1b.index import build_index

    tar = ws.shard_file("sa1b_shards", shard, ".tar")
    out, rejects = shard_outputs("mask_index", ws, shard)
    return build_index(tar, out, rejects, params.quality)


def filtered_masks(ws: Workspace, params: Params, shard: str) -> Report:
    """The masks worth keeping, each with its level and parent."""
    from ml.labeling.hierarchy import assign
    from ml.sa1b.filter import filter_masks

    index = ws.shard_file("mask_index", shard, ".parquet")
    return filter_masks(index, ws.shard_file("filtered_masks", shard, ".parquet"), params.filter, assign)


def pseudo_labels(ws: Workspace, params: Params, shard: str) -> Report:
    """Captions, phrases, queries, questions and relevance from the frozen CLIP and the masks' geometry."""
    from ml.labeling.labels import label_shard

    kept = ws.shard_file("filtered_masks", shard, ".parquet")
    tar = ws.shard_file("sa1b_shards", shard, ".tar")
    out, embeddings = shard_outputs("pseudo_labels", ws, shard)
    clip, captioner = _clip(ws.stage("backbones")), _captioner(ws.stage("backbones"))
    return label_shard(kept, tar, out, embeddings, clip, captioner, params.labels, params.seed)


def image_features(ws: Workspace, params: Params, shard: str) -> Report:
    """The frozen SAM encoder's output for every image, half precision, random access."""
    from ml.labeling.features import encode_shard

    kept = ws.shard_file("filtered_masks", shard, ".parquet")
    tar = ws.shard_file("sa1b_shards", shard, ".tar")
    out = ws.shard_file("image_features", shard, ".safetensors")
    return encode_shard(kept, tar, out, _sam(ws.stage("backbones")), params.features, params.training.cached_features)


def training_set(ws: Workspace, params: Params, group: str) -> Report:
    """A light manifest of a group of shards (md5s, split, statistics, copies of benchmark images) and its data card."""
    from ml.labeling.data_card import write_card
    from ml.labeling.training_set import build_group

    shards = group_shards(partitions("sa1b_shards", ws, params), params.shards.group_size)[group]
    labels, features = ws.stage("pseudo_labels"), ws.stage("image_features")
    hashes = ws.stage("benchmark_data") / "hashes.parquet"
    out = shard_outputs("training_set", ws, group)[0]
    report = build_group(group, shards, labels, features, hashes, out, params.training_set, params.seed)
    shown = write_card(out, ws.stage("sa1b_shards"), ws.stage("mask_index"), ws.stage("filtered_masks"), labels)
    return Report(report.numbers, report.tables | shown.tables, shown.pictures)


# --- the stages that are one piece ----------------------------------------------------------------------------


def backbones(ws: Workspace, params: Params) -> Report:
    """The frozen SAM and CLIP, verified, as safetensors."""
    from ml.models.backbones import load_backbones_stage

    return load_backbones_stage(params.backbones, ws.stage("backbones"))


def benchmark_data(ws: Workspace, params: Params) -> Report:
    """The benchmarks, verified and indexed; queries and truth lie in separate files."""
    from ml.evaluation.benchmark_data import build

    named = {name: source for name, source in params.benchmarks.model_dump().items() if source is not None}
    drawn = [name for name, source in named.items() if source == TOYTOWN]
    with atomic_dir(ws.stage("benchmark_data")) as out:
        if drawn:
            from ml.toytown.benchmarks import write_benchmark

            with closing(open_pool(params.shards)) as pool:
                list(pool.map(partial(write_benchmark, out / "raw", params), drawn))
        folders = {name: out / "raw" / name if name in drawn else ws.root / named[name] for name in named}
        return build(folders, out, params)


def train(stage: str, ws: Workspace, params: Params) -> Report:
    """One of the four training stages, under DeepSpeed in processes of its own."""
    from ml.training.launch import launch

    return launch(stage, ws, params)


def benchmark_scores(ws: Workspace, params: Params) -> Report:
    """Predictions from image and text alone, then all scores, tables and pictures."""
    from ml.evaluation.scores import evaluate

    return evaluate(ws, params)


def compressed_model(ws: Workspace, params: Params) -> Report:
    """Pruned and int8 ONNX, measured beside fp32."""
    from ml.release.compress import compress

    return compress(ws, params)


def released_model(ws: Workspace, params: Params) -> Report:
    """If the gate holds: the model in the registry, with alias, signature and card."""
    from ml.release.register import register

    return register(ws, params)


SHARDED: dict[str, Callable[[Workspace, Params, str], Report]] = {
    "sa1b_shards": sa1b_shards,
    "mask_index": mask_index,
    "filtered_masks": filtered_masks,
    "pseudo_labels": pseudo_labels,
    "image_features": image_features,
    "training_set": training_set,
}
SUFFIXES = {
    "sa1b_shards": [".tar"],
    "mask_index": [".parquet", ".rejects.parquet"],
    "filtered_masks": [".parquet"],
    "pseudo_labels": [".parquet", ".safetensors"],
    "image_features": [".safetensors"],
    "training_set": [".json", ".card.md", ".histograms.png", ".samples.png"],
}
ON_GPU = {"pseudo_labels", "image_features"}  # a shard of these takes a GPU, where there is one
TRAINING = (
    "mask_region_alignment",
    "text_region_grounding",
    "relevance_learning",
    "multimodal_finetuning",
)
WHOLE: dict[str, Callable[[Workspace, Params], Report]] = {
    "backbones": backbones,
    "benchmark_data": benchmark_data,
    **{stage: partial(train, stage) for stage in TRAINING},
    "benchmark_scores": benchmark_scores,
    "compressed_model": compressed_model,
    "released_model": released_model,
}


# Weights are read once a process: a pool's worker labels many shards.


@lru_cache(maxsize=1)
def _sam(folder: Path) -> "Sam":
    from ml.models.device import accelerator
    from ml.models.sam import load_sam

    return load_sam(folder).to(accelerator())


@lru_cache(maxsize=1)
def _clip(folder: Path) -> "Clip":
    from ml.models.clip import load_clip
    from ml.models.device import accelerator

    return load_clip(folder).to(accelerator())


@lru_cache(maxsize=1)
def _captioner(folder: Path) -> "Clip":
    """The model that captions: one of its own where params name one, else the CLIP itself, a CoCa."""
    from ml.models.clip import load_clip
    from ml.models.device import accelerator

    own = (folder / "captioner.json").is_file()
    return load_clip(folder, "captioner").to(accelerator()) if own else _clip(folder)
