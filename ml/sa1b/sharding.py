"""Shards and groups of shards as pieces of work: which there are, what each reads and writes, which are to be run."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from ml.compute.pool import open_pool
from ml.errors import UserError
from ml.params import Params
from ml.sa1b.sources.listing import list_shards
from ml.workspace import Workspace, keys, stages
from ml.workspace.report import Report, merge

Work = Callable[[Workspace, Params, str], Report]  # makes one shard or group of a stage


def run(work: Work, name: str, ws: Workspace, params: Params, shard: str | None) -> Report:
    """Run one shard or group of a stage, or all of them in a pool; those that are current are skipped.

    Raises:
        UserError: there is no such shard, or the stage's input is wrong.
    """
    known = partitions(name, ws, params)
    if shard is not None and shard not in known:
        raise UserError(f"{name}: no shard {shard!r}; there are {known[0]} to {known[-1]}")
    if shard is not None:
        return run_shard(work, name, ws, params, shard)
    with closing(open_pool(params.shards)) as pool:
        one = partial(run_shard, work, name, ws, params)
        return merge([report for _, report in sorted(pool.map(one, known, stages.stage(ws, name).gpu))])


def run_shard(work: Work, name: str, ws: Workspace, params: Params, shard: str) -> Report:
    """Run one shard or group of a stage, unless its output is current."""
    made_from = shard_key(name, ws, params, shard)
    outputs = shard_outputs(name, ws, shard)
    if keys.is_current(ws, name, shard, made_from, outputs):
        return Report(skipped=True)
    report = work(ws, params, shard)
    keys.record(ws, name, shard, made_from, outputs)
    return report


def partitions(name: str, ws: Workspace, params: Params) -> list[str]:
    """The shards or groups of a stage, in order."""
    shards = list_shards(params, ws)
    grouped = stages.stage(ws, name).per == "group"
    return list(group_shards(shards, params.shards.group_size)) if grouped else shards


def members(group: str, ws: Workspace, params: Params) -> list[str]:
    """The shards of a group."""
    return group_shards(list_shards(params, ws), params.shards.group_size)[group]


def group_shards(shards: Sequence[str], size: int) -> dict[str, list[str]]:
    """Consecutive shards in groups of at most `size`: {"group_000": [shard, ...], ...}."""
    groups = [list(shards[start : start + size]) for start in range(0, len(shards), size)]
    digits = max(3, len(str(len(groups) - 1)))  # names sort as their numbers do
    return {f"group_{number:0{digits}d}": group for number, group in enumerate(groups)}


def shard_key(name: str, ws: Workspace, params: Params, shard: str) -> str:
    """The digest of what one shard's output depends on: code, params and input bytes."""
    stage = stages.stage(ws, name)
    return keys.key(ws, stage.code_digest(ws), stage.shard_values(params), shard_inputs(name, ws, params, shard))


def shard_inputs(name: str, ws: Workspace, params: Params, shard: str) -> list[Path]:
    """The files that one shard or group of a stage reads."""
    line = stages.load(ws)
    stage = line[name]
    whole = [ws.root / path for path in stage.named_files(ws, params)]
    whole += [file for upstream in stage.upstream if not line[upstream].per for file in _whole(stage, ws, upstream)]
    sharded = [upstream for upstream in stage.upstream if line[upstream].per]
    read = members(shard, ws, params) if stage.per == "group" else [shard]
    return whole + [path for one in read for upstream in sharded for path in shard_outputs(upstream, ws, one)]


def shard_outputs(name: str, ws: Workspace, shard: str) -> list[Path]:
    """The files that one shard or group of a stage writes."""
    return [ws.shard_file(name, shard, suffix) for suffix in stages.stage(ws, name).files]


def _whole(stage: stages.Stage, ws: Workspace, upstream: str) -> list[Path]:
    """What a shard reads of a stage that is one piece: the files declared, or all at the top of its folder."""
    folder = ws.stage(upstream)
    if upstream in stage.reads:
        return [folder / stage.reads[upstream]]
    return [path for path in sorted(folder.iterdir()) if path.is_file()]
