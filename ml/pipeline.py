"""The table of contents: one function a stage, from what it reads to what it writes, as `dvc.yaml` declares it too.

`run` is what the command line, DVC and Dagster all call. Rooms are imported late: a stage pays only for what it uses.
"""

from contextlib import closing
from functools import partial

from ml.compute.pool import open_pool
from ml.errors import UserError
from ml.params import Params
from ml.sa1b import sharding
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_dir
from ml.workspace.report import Report, merge

TOYTOWN = "toytown"


def run(name: str, ws: Workspace, params: Params, shard: str | None = None) -> Report:
    """Run a stage, or one shard or group of it.

    Raises:
        UserError: no such stage or shard, a shard of a stage that has none, or the stage's input is wrong.
    """
    if name in SHARDED:
        return sharding.run(SHARDED[name], name, ws, params, shard)
    if name not in WHOLE:
        raise UserError(f"stage {name!r} is unknown; choose from {', '.join([*SHARDED, *WHOLE])}")
    if shard is not None:
        raise UserError(f"{name}: found --shard {shard}, but it is one piece; leave --shard out")
    return WHOLE[name](ws, params)


def sa1b_shards(ws: Workspace, params: Params, shard: str) -> Report:
    """The shard's tar: drawn, downloaded, or a local folder's, in place."""
    if params.shards.source != TOYTOWN:
        from ml.sa1b.sources.listing import fetch

        return fetch(shard, params, ws)
    from ml.toytown.files.shards import write_shard

    return write_shard(int(shard.removeprefix("sa_")), params, ws.shard_file("sa1b_shards", shard, ".tar"))


def mask_index(ws: Workspace, params: Params, shard: str) -> Report:
    """A row a mask from one pass over the tar; what is broken goes to the rejects with its reason."""
    from ml.sa1b.shards.index import build_index

    tar, out = ws.shard_file("sa1b_shards", shard, ".tar"), ws.shard_file("mask_index", shard, ".parquet")
    return build_index(tar, out, out.with_suffix(".rejects.parquet"), params.quality)


def filtered_masks(ws: Workspace, params: Params, shard: str) -> Report:
    """The masks worth keeping, each with its level and parent."""
    from ml.labeling.geometry.hierarchy import assign
    from ml.sa1b.shards.filter import filter_masks

    index, out = ws.shard_file("mask_index", shard, ".parquet"), ws.shard_file("filtered_masks", shard, ".parquet")
    return filter_masks(index, out, params.filter, assign)


def backbones(ws: Workspace, params: Params) -> Report:
    """The frozen SAM and CLIP, verified, as safetensors."""
    from ml.models.frozen.backbones import load_backbones_stage

    return load_backbones_stage(params.backbones, ws.root, ws.stage("backbones"))


def pseudo_labels(ws: Workspace, params: Params, shard: str) -> Report:
    """Captions, phrases, queries, questions and relevance, from captions, the frozen CLIP and the masks' geometry."""
    from ml.labeling.captioners.choice import captioner_of
    from ml.labeling.labels import label_shard
    from ml.models.frozen.clip import shared_captioner, shared_clip

    kept, tar = ws.shard_file("filtered_masks", shard, ".parquet"), ws.shard_file("sa1b_shards", shard, ".tar")
    out, clip = ws.shard_file("pseudo_labels", shard, ".parquet"), shared_clip(ws.stage("backbones"))
    captioner = captioner_of(ws, params, shard, clip, partial(shared_captioner, ws.stage("backbones")))
    return label_shard(kept, tar, out, out.with_suffix(".safetensors"), clip, captioner, params.labels, params.seed)


def image_features(ws: Workspace, params: Params, shard: str) -> Report:
    """The frozen SAM encoder's output for every image, half precision, random access."""
    from ml.labeling.features import encode_shard
    from ml.models.frozen.sam import shared_sam

    kept, tar = ws.shard_file("filtered_masks", shard, ".parquet"), ws.shard_file("sa1b_shards", shard, ".tar")
    out, encoder = ws.shard_file("image_features", shard, ".safetensors"), shared_sam(ws.stage("backbones"))
    return encode_shard(kept, tar, out, encoder, params.features, params.training.cached_features)


def benchmark_data(ws: Workspace, params: Params) -> Report:
    """The benchmarks, verified and indexed; queries and truth lie in separate files."""
    from ml.evaluation.benchmarks.index import build
    from ml.toytown.files.benchmarks import write_benchmark

    named = {name: source for name, source in params.benchmarks.model_dump().items() if source is not None}
    drawn = [name for name, source in named.items() if source == TOYTOWN]
    with atomic_dir(ws.stage("benchmark_data")) as out, closing(open_pool(params.shards)) as pool:
        list(pool.map(partial(write_benchmark, out / "raw", params), drawn))
        folders = {name: out / "raw" / name if name in drawn else ws.root / named[name] for name in named}
        return build(folders, out, params)


def training_set(ws: Workspace, params: Params, group: str) -> Report:
    """A light manifest of a group of shards (md5s, split, statistics, copies of benchmark images) and its data card."""
    from ml.labeling.training_set.data_card import write_card
    from ml.labeling.training_set.manifest import build_group

    shards, out = sharding.members(group, ws, params), ws.shard_file("training_set", group, ".json")
    labels, features = ws.stage("pseudo_labels"), ws.stage("image_features")
    hashes = ws.stage("benchmark_data") / "hashes.parquet"
    report = build_group(group, shards, labels, features, hashes, out, params.training_set, params.seed)
    tars, index, kept = (ws.stage(name) for name in ("sa1b_shards", "mask_index", "filtered_masks"))
    return merge([report, write_card(out, tars, index, kept, labels)])


def train(stage: str, ws: Workspace, params: Params) -> Report:
    """A stage of training, under DeepSpeed in processes of its own: from the stage before to its own checkpoint."""
    from ml.training.launch import launch

    return launch(stage, ws, params)


def benchmark_scores(ws: Workspace, params: Params) -> Report:
    """Predictions from image and text alone, then all scores, tables and pictures."""
    from ml.evaluation.scores import evaluate

    return evaluate(ws, params)


def compressed_model(ws: Workspace, params: Params) -> Report:
    """Pruned and int8 ONNX, measured beside fp32."""
    from ml.release.shrink.compress import compress

    return compress(ws, params)


def released_model(ws: Workspace, params: Params) -> Report:
    """If the gate holds: the model in the registry, with alias, signature and card."""
    from ml.release.register import register

    return register(ws, params)


TRAINING = ("mask_region_alignment", "text_region_grounding", "relevance_learning", "multimodal_finetuning")
_SHARDED = (sa1b_shards, mask_index, filtered_masks, pseudo_labels, image_features, training_set)
_WHOLE = (backbones, benchmark_data, benchmark_scores, compressed_model, released_model)
SHARDED = {work.__name__: work for work in _SHARDED}
WHOLE = {work.__name__: work for work in _WHOLE} | {name: partial(train, name) for name in TRAINING}
