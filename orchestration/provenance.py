"""What Dagster is told of data: its version and the versions it was made from, shard by shard.

Events of a run over several partitions carry one data version for all, so each shard's own is reported after the run.
The same events tell of stages that were run outside Dagster (`dvc repro`, `arrcoc stage`, `dvc pull`), and of data
that was changed or removed by hand.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

from ml.params import Params
from ml.workspace import Workspace, lineage, stages
from ml.workspace.snapshot import Snapshot
from orchestration.freshness.dvc_lock import cached_list
from orchestration.freshness.staleness import State, states
from orchestration.freshness.told import forget
from orchestration.freshness.versions import code_version, shard_version

Metadata = Mapping[str, dg.MetadataValue]
Versions = tuple[str | None, str | None]  # of code and data
WHOLE = ""  # stands for the one piece of a stage that has no shards
BY_HAND = "none of the stage's"  # code version of data that lies there and is not what the stage would make
ABSENT = "NULL"  # the data version of nothing: Dagster's word for it


def report(
    instance: dg.DagsterInstance,
    at: Snapshot,
    params: Params,
    name: str,
    pieces: Mapping[str, Metadata],
    code: str | None = None,
) -> None:
    """Report shards of a stage (or `WHOLE`) as they lie there, each with its metadata.

    `code`: the code version that made them; None: the stage's.
    """
    forget(at.ws, name)
    common = _made_from(instance, at, params, name) | ({CODE_VERSION_TAG: code} if code else {})
    for piece, metadata in pieces.items():
        tags = {**common, DATA_VERSION_TAG: _version(at, name, piece)}
        event = dg.AssetMaterialization(name, metadata=metadata, partition=piece or None, tags=tags)
        instance.report_runless_asset_event(event)


def synchronize(
    instance: dg.DagsterInstance,
    at: Snapshot,
    params: Params,
    state: State,
    before: str = "",
    made: Mapping[str, Metadata] = MappingProxyType({}),
) -> None:
    """Tell Dagster of the pieces of a fresh stage whose code or data version it does not know yet.

    `before`: the state that it was told of before some were `made`, these with their metadata; "": it has to be asked.
    """
    name, code = state.name, code_version(stages.stage(at.ws, state.name), at, params)
    pieces = list(state.shards) or [WHOLE]
    known = _noted(at, state, before) or _known(instance, name, pieces)
    unknown = [piece for piece in pieces if piece in made or known.get(piece) != (code, _version(at, name, piece))]
    if unknown:
        report(instance, at, params, name, {piece: made.get(piece, {}) for piece in unknown})


def _noted(at: Snapshot, state: State, before: str) -> dict[str, Versions]:
    """The versions of each piece when Dagster knew a state; {} where DVC's cache does not hold its list of files."""
    code, _, out = before.partition(" ")
    if not state.shards:
        return {WHOLE: (code, out)} if before == state.version else {}
    stage, files = stages.stage(at.ws, state.name), cached_list(at.ws, out)
    return {shard: (code, shard_version(stage, files, shard)) for shard in state.shards} if files else {}


def tell(instance: dg.DagsterInstance, ws: Workspace, params: Params) -> list[State]:
    """Tell Dagster of the data as it lies there now, so that its page marks what `arrcoc status` calls stale.

    Returns the state of every stage. Changed code, params and upstream data the page sees by itself. What it cannot see
    is told here: data changed or removed by hand, groups with other members than before, files of shards that are gone.
    """
    at = Snapshot(ws)
    found = states(ws, params, at)
    for state in found:
        if state.state == "fresh":
            synchronize(instance, at, params, state)
        elif unseen := _unseen(instance, at, params, state):
            why = {"found": dg.MetadataValue.text("; ".join(state.reasons))}
            report(instance, at, params, state.name, dict.fromkeys(unseen, why), code=BY_HAND)
    return found


def _unseen(instance: dg.DagsterInstance, at: Snapshot, params: Params, state: State) -> list[str]:
    """The pieces of a stage that is not fresh of which Dagster would say that they are."""
    ws, stage, pieces = at.ws, stages.stage(at.ws, state.name), list(state.shards) or [WHOLE]
    known = _known(instance, state.name, pieces)
    made = [piece for piece in pieces if piece in known]
    if moved := [piece for piece in made if known[piece][1] != _version(at, state.name, piece)]:
        return moved
    deps = (lineage.seen(ws, state.name) or lineage.locked(ws, state.name)).get("deps", {})
    code = code_version(stage, at, params)
    if any(known[piece][0] != code for piece in made) or any(
        deps.get(path) != at.version(ws.root / path) for path in stage.data
    ):
        return []
    return [piece for piece in state.todo if piece in known] or made[:1]


def _known(instance: dg.DagsterInstance, name: str, pieces: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """The code and data version that Dagster last saw of each piece."""
    key, kind = dg.AssetKey(name), dg.DagsterEventType.ASSET_MATERIALIZATION
    if WHOLE in pieces:
        event = instance.get_latest_materialization_event(key)
        return {WHOLE: _versions(event)} if event else {}
    ids = instance.event_log_storage.get_latest_storage_id_by_partition(key, kind)
    if not ids:
        return {}
    wanted = dg.AssetRecordsFilter(key, storage_ids=list(ids.values()))
    found = instance.fetch_materializations(wanted, limit=len(ids)).records
    return {record.partition_key or WHOLE: _versions(record.event_log_entry) for record in found}


def _versions(event: dg.EventLogEntry) -> Versions:
    tags = event.tags or {}
    return tags.get(CODE_VERSION_TAG), tags.get(DATA_VERSION_TAG)


def _made_from(instance: dg.DagsterInstance, at: Snapshot, params: Params, name: str) -> dict[str, str]:
    stage = stages.stage(at.ws, name)
    tags = {CODE_VERSION_TAG: code_version(stage, at, params), DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
    records = instance.get_asset_records([dg.AssetKey(upstream) for upstream in stage.upstream])
    last = {record.asset_entry.asset_key: record.asset_entry.last_materialization_storage_id for record in records}
    for path, upstream in zip(stage.data, stage.upstream, strict=True):
        key = dg.AssetKey(upstream)
        tags[get_input_data_version_tag(key)] = at.version(at.ws.root / path) or ABSENT
        tags[get_input_event_pointer_tag(key)] = str(last.get(key) or ABSENT)
    return tags


def _version(at: Snapshot, name: str, piece: str) -> str:
    folder = at.ws.stage(name)
    if not piece:
        return at.version(folder) or ABSENT
    return shard_version(stages.stage(at.ws, name), at.listing(folder), piece) or ABSENT
