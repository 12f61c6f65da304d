"""What is stale: what each stage was made from, against what lies there now.

A stage's record is a file beside its data, written when the stage ends, in the terms of `dvc.lock`; where there is
none, or it does not fit, `dvc.lock` itself is believed: data that DVC restored is as fresh as data made here.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from ml.errors import UserError
from ml.params import Params
from ml.sa1b import sharding
from ml.workspace import Workspace, keys, lineage, stages
from ml.workspace.atomic import write_json
from ml.workspace.lineage import Made
from ml.workspace.snapshot import Snapshot
from ml.workspace.stages import Stage
from orchestration.freshness.dvc_lock import uncached
from orchestration.freshness.lock import busy, noted
from orchestration.freshness.lock_backup import restore
from orchestration.freshness.reasons import explain
from orchestration.freshness.told import told
from orchestration.freshness.versions import code_version


@dataclass
class State:
    """A stage's state; of a sharded one also that of each shard or group."""

    name: str
    state: Literal["fresh", "stale", "missing"]
    reasons: list[str] = field(default_factory=list)
    shards: dict[str, str] = field(default_factory=dict)  # shard: fresh, stale or missing
    seconds: float | None = None  # that the last run of it took
    locked: bool = False  # dvc.lock says the same, and DVC's cache holds the output
    version: str = ""  # of its code, its params and its output together

    @property
    def todo(self) -> list[str]:
        """The shards to run again."""
        return [shard for shard, state in self.shards.items() if state != "fresh"]

    def to_json(self) -> dict[str, Any]:
        """The object that `arrcoc status --json` prints for the stage."""
        found = list(self.shards.values())
        counts = {state: found.count(state) for state in ("fresh", "stale", "missing")}
        return {"name": self.name, "state": self.state, "reasons": self.reasons, "shards": counts}


def states(ws: Workspace, params: Params, at: Snapshot | None = None) -> list[State]:
    """The state of every stage, in order, now or at another moment."""
    if not busy(ws):
        restore(ws)
    at = at or Snapshot(ws)
    return [state_of(name, at, params) for name in stages.load(ws)]


def state_of(name: str, at: Snapshot, params: Params) -> State:
    """Whether a stage's output is there, and is what would be made now from what lies upstream."""
    ws, stage = at.ws, stages.stage(at.ws, name)
    shards = sharding.partitions(name, ws, params) if stage.per else []
    now, made = _made_from(stage, at, params) | {"out": at.version(ws.root / stage.out)}, lineage.seen(ws, name)
    lacking, leftover = _files(stage, at, shards)
    result = State(name, "fresh", shards=dict.fromkeys(shards, "fresh"), seconds=made.get("seconds"))
    restored = _fits(lineage.locked(ws, name), now)
    gap = next(uncached(at, name), None) if restored else None
    result.locked = restored and gap is None
    result.version = f"{code_version(stage, at, params)} {now['out']}"
    if now["out"] and not lacking and not leftover:
        if gap is not None:
            result.reasons = [f"DVC's cache lacks {gap.relative_to(ws.root)}, which arrcoc run copies"]
        if _fits(made, now):
            return result
        if restored:
            _adopt(stage, at, params, now, shards)
            return result
    result.state = "stale" if now["out"] else "missing"
    result.shards = _shard_states(stage, at, params, shards)
    reasons = explain(stage, made or lineage.locked(ws, name), now)
    reasons += [f"{name} is missing" for name in lacking] + [f"{name} belongs to no shard" for name in leftover]
    result.reasons = reasons or ["dvc.yaml declares it differently"]
    return result


def is_told(ws: Workspace, states: Sequence[State]) -> bool:
    """Whether Dagster and `dvc.lock` know all of this already, so that neither has to be started to find it out."""
    return all(state.locked and told(ws, state.name) == state.version for state in states)


@contextmanager
def recorded(name: str, ws: Workspace, params: Params) -> Iterator[None]:
    """Run a stage inside: what it is made from is read before, and recorded once all of it is there.

    Files of shards that are no longer among the source's are removed.

    Raises:
        UserError: what the stage reads is missing.
    """
    stage = stages.stage(ws, name)
    at, begun = Snapshot(ws), time.monotonic()
    made = _made_from(stage, at, params)
    for path, upstream in zip(stage.data, stage.upstream, strict=True):
        if made["deps"][path] is None:
            raise UserError(f"{name}: {path} is missing; run {upstream} first (arrcoc run --select '+{name}')")
    for key, path in zip(stage.named, stage.named_files(ws, params), strict=True):
        if not (ws.root / path).is_file():
            raise UserError(f"{name}: {path} is no file; correct {key}, or put a file there")
    with noted(ws, name):
        yield
    out, shards = ws.root / stage.out, sharding.partitions(name, ws, params) if stage.per else []
    at.forget(out)
    leftovers = _files(stage, at, shards)[1]
    if set(_shard_states(stage, at, params, shards).values()) <= {"fresh"}:
        for leftover in leftovers:
            (out / leftover).unlink()
            at.forget(out)
        made |= {"out": at.version(out), "seconds": round(time.monotonic() - begun, 2)}
        write_json(lineage.record_file(ws, name), made)


def _made_from(stage: Stage, at: Snapshot, params: Params) -> Made:
    return {"deps": at.deps(stage, params), "params": stage.param_values(params), "files": at.code_files(stage)}


def _fits(made: Made, now: Made) -> bool:
    return bool(made) and all(made[part] == now[part] for part in ("deps", "params", "out"))


def _adopt(stage: Stage, at: Snapshot, params: Params, now: Made, shards: Sequence[str]) -> None:
    if shards:
        recipe = sharding.Recipe.of(stage.name, at.ws, params, at)
        for shard in shards:
            made_from = recipe.key(shard, at.md5)
            keys.record(at.ws, stage.name, shard, made_from, at.md5s(recipe.outputs(shard)))
    write_json(lineage.record_file(at.ws, stage.name), now)


def _files(stage: Stage, at: Snapshot, shards: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which files of a sharded stage are lacking, and which belong to no shard any more."""
    if not stage.per:
        return [], []
    wanted = {f"{shard}{suffix}" for shard in shards for suffix in stage.files}
    found = at.listing(at.ws.stage(stage.name)).keys()
    return sorted(wanted - found) if found else [], sorted(found - wanted)


def _shard_states(stage: Stage, at: Snapshot, params: Params, shards: Sequence[str]) -> dict[str, str]:
    recipe = sharding.Recipe.of(stage.name, at.ws, params, at) if shards else None
    return {shard: _shard_state(recipe, at, shard) for shard in shards} if recipe else {}


def _shard_state(recipe: sharding.Recipe, at: Snapshot, shard: str) -> str:
    try:
        md5s = at.md5s(recipe.outputs(shard))
    except FileNotFoundError:
        return "missing"
    try:
        made_from = recipe.key(shard, at.md5)
    except FileNotFoundError:  # an input is missing
        return "stale"
    return "fresh" if keys.is_recorded(at.ws, recipe.stage.name, shard, made_from, md5s) else "stale"
