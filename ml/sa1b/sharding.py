"""Shards and groups of shards as pieces of work: which there are, what each reads and writes, which are to be run."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ml.compute.pool import open_pool
from ml.errors import UserError
from ml.params import Params
from ml.sa1b.sources.listing import list_shards
from ml.workspace import Workspace, keys, stages
from ml.workspace.report import Report, merge
from ml.workspace.snapshot import Snapshot
from ml.workspace.stages import Stage

Work = Callable[[Workspace, Params, str], Report]  # makes one shard or group of a stage
Md5 = Callable[[str], str]  # of the file with a path


def run(work: Work, name: str, ws: Workspace, params: Params, shard: str | None) -> Report:
    """Run one shard or group of a stage, or all of them in a pool; those that are current are skipped.

    Raises:
        UserError: there is no such shard, or the stage's input is wrong.
    """
    known = partitions(name, ws, params)
    if shard is not None and shard not in known:
        raise UserError(f"{name}: no shard {shard!r}; there are {known[0]} to {known[-1]}")
    one = partial(run_shard, work, Recipe.of(name, ws, params))
    if shard is not None:
        return one(shard)
    with closing(open_pool(params.shards)) as pool:
        return merge([report for _, report in sorted(pool.map(one, known, stages.stage(ws, name).gpu))])


@dataclass(frozen=True)
class Recipe:
    """What all shards or groups of a stage are made from alike: read once, however many of them are asked about."""

    stage: Stage
    ws: Workspace
    params: Params
    code: str
    values: dict[str, Any]  # of the params that bear on what a shard holds

    @classmethod
    def of(cls, name: str, ws: Workspace, params: Params, now: Snapshot | None = None) -> "Recipe":
        """The recipe of a stage, with the code as it is now."""
        stage = stages.stage(ws, name)
        code = (now or Snapshot(ws)).code_digest(stage)
        return cls(stage, ws, params, code, stage.shard_values(params))

    def key(self, shard: str, md5: Md5) -> str:
        """The digest of what one shard's output depends on: code, params and input bytes.

        Raises:
            FileNotFoundError: an input is missing.
        """
        return keys.key(self.code, self.values, [md5(file) for file in self.inputs(shard)])

    def inputs(self, shard: str) -> list[str]:
        """The paths of the files that one shard or group of the stage reads; texts, since there are so many.

        Raises:
            FileNotFoundError: so is the folder of a stage that is one piece.
        """
        read = self._groups[shard] if self.stage.per == "group" else [shard]
        return [*self._common, *(f"{folder}/{one}{suffix}" for one in read for folder, suffix in self._sharded)]

    def outputs(self, shard: str) -> list[str]:
        """The paths of the files that one shard or group of the stage writes."""
        return [f"{self._folder}/{shard}{suffix}" for suffix in self.stage.files]

    @cached_property
    def _folder(self) -> Path:
        return self.ws.stage(self.stage.name)

    @cached_property
    def _above(self) -> list[Stage]:
        return [stages.stage(self.ws, name) for name in self.stage.upstream]

    @cached_property
    def _sharded(self) -> list[tuple[str, str]]:
        """Folder and suffix of each file that is read of a shard."""
        sharded = [(str(self.ws.stage(stage.name)), stage) for stage in self._above if stage.per]
        return [(folder, suffix) for folder, stage in sharded for suffix in stage.files]

    @cached_property
    def _common(self) -> list[str]:
        """What every shard reads: files that params name, and those of stages that are one piece."""
        named = [self.ws.root / path for path in self.stage.named_files(self.ws, self.params)]
        whole = [file for stage in self._above if not stage.per for file in _whole(self.stage, self.ws, stage.name)]
        return [str(path) for path in (*named, *whole)]

    @cached_property
    def _groups(self) -> dict[str, list[str]]:
        return groups(self.ws, self.params)


def run_shard(work: Work, recipe: Recipe, shard: str) -> Report:
    """Run one shard or group of a stage, unless its output is current."""
    ws, name = recipe.ws, recipe.stage.name
    outputs, before = recipe.outputs(shard), Snapshot(ws)
    made_from = recipe.key(shard, before.md5)
    if all(map(os.path.isfile, outputs)) and keys.is_recorded(ws, name, shard, made_from, before.md5s(outputs)):
        return Report(skipped=True)
    report = work(ws, recipe.params, shard)
    keys.record(ws, name, shard, made_from, Snapshot(ws).md5s(outputs))
    return report


def partitions(name: str, ws: Workspace, params: Params) -> list[str]:
    """The shards or groups of a stage, in order."""
    grouped = stages.stage(ws, name).per == "group"
    return list(groups(ws, params)) if grouped else list_shards(params, ws)


def members(group: str, ws: Workspace, params: Params) -> list[str]:
    """The shards of a group."""
    return groups(ws, params)[group]


def groups(ws: Workspace, params: Params) -> dict[str, list[str]]:
    """The shards of each group, in order."""
    return group_shards(list_shards(params, ws), params.shards.group_size)


def group_shards(shards: Sequence[str], size: int) -> dict[str, list[str]]:
    """Consecutive shards in groups of at most `size`: {"group_000": [shard, ...], ...}."""
    found = [list(shards[start : start + size]) for start in range(0, len(shards), size)]
    digits = max(3, len(str(len(found) - 1)))  # names sort as their numbers do
    return {f"group_{number:0{digits}d}": group for number, group in enumerate(found)}


def _whole(stage: Stage, ws: Workspace, upstream: str) -> list[Path]:
    """What a shard reads of a stage that is one piece: the files declared, or all at the top of its folder."""
    folder = ws.stage(upstream)
    if upstream in stage.reads:
        return [folder / stage.reads[upstream]]
    return [path for path in sorted(folder.iterdir()) if path.is_file()]
