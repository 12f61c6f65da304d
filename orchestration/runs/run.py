"""Runs what is stale, in order, through Dagster; a stage whose rebuilt input is identical is left alone."""

import re
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from ml.compute.pool import Pool
from ml.errors import NO_SPACE, UserError, disk_is_full
from ml.params import Params
from ml.workspace import Workspace, stages
from ml.workspace.snapshot import Snapshot
from orchestration import provenance
from orchestration.brief import record_briefly
from orchestration.definitions import build
from orchestration.freshness.dvc_lock import commit
from orchestration.freshness.lock import exclusive
from orchestration.freshness.staleness import State, recorded, state_of
from orchestration.freshness.told import note, told
from orchestration.instance import ghosts
from orchestration.instance.opened import instance
from orchestration.jobs import OURS, execute
from orchestration.resources import Launcher, Ledger
from orchestration.runs.outcome import Outcome
from orchestration.runs.step_output import follow_in_threads


class Watcher(Protocol):
    """Whoever is told how a run goes on."""

    def begin(self, state: State) -> None:
        """A stage starts."""

    def shard(self, name: str, shard: str, done: int, total: int) -> None:
        """A shard of it is done."""

    def end(self, name: str, seconds: float, error: str | None) -> None:
        """The stage has ended."""


def run(ws: Workspace, params: Params, select: str | None, watcher: Watcher, pool: Pool) -> Outcome:
    """Run the stages that are stale, of those selected, and bring Dagster and `dvc.lock` up to date.

    `select`: Dagster's selection syntax (`+benchmark_scores`, `group:training`), or names with commas.

    Raises:
        UserError: the selection names no stage, or another run is under way.
    """
    follow_in_threads()
    record_briefly()
    with exclusive(ws), instance(ws) as found:
        ghosts.bury(found, OURS)
        worker = _Worker(ws, params, found, pool, watcher)
        for name in selection(worker.defs, ws, select):
            if not worker.outcome.interrupted:
                worker.take(name)
        try:
            commit(ws, worker.unlocked)
            for state in worker.told:
                note(ws, state.name, state.version)
        except UserError as error:  # told beside what the stages met, not in its place
            worker.outcome.errors["dvc.lock"] = str(error)
    return worker.outcome


def selection(defs: dg.Definitions, ws: Workspace, select: str | None) -> list[str]:
    """The names of the stages selected, in order."""
    names = list(stages.load(ws))
    if select is None:
        return names
    known = re.compile(rf'(?<![\w:"])({"|".join(names)})(?!\w)')
    text = known.sub(r"key:\1", " or ".join(select.split(",")))  # `+name` means one layer, `+key:name` all of them
    try:
        keys = dg.AssetSelection.from_string(text).resolve(defs.resolve_asset_graph())
    except dg.DagsterError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--select {select!r}: {reason}; the stages are {', '.join(names)}") from error
    chosen = {key.to_user_string() for key in keys}
    if not chosen:
        raise UserError(f"--select {select!r}: no such stage; choose from {', '.join(names)}")
    return [name for name in names if name in chosen]


class _Worker:
    """Takes one stage after the other."""

    def __init__(self, ws: Workspace, params: Params, found: dg.DagsterInstance, pool: Pool, watcher: Watcher) -> None:
        self.ws, self.params, self.instance, self.watcher = ws, params, found, watcher
        self.ledger = Ledger(ws, params, commit=False, tell=watcher.shard)
        given = {"workspace": ws, "params": params, "pool": pool, "launcher": Launcher(), "ledger": self.ledger}
        self.defs = build(ws, params, given)
        self.at = Snapshot(ws)  # after the last stage that was run
        self.outcome = Outcome()
        self.unlocked: list[str] = []
        self.told: list[State] = []

    def take(self, name: str) -> None:
        """Leave a fresh stage alone, run a stale one."""
        stage = stages.stage(self.ws, name)
        if {*self.outcome.failed, *self.outcome.blocked} & set(stage.upstream):
            self.outcome.blocked.append(name)
            return
        state = state_of(name, self.at, self.params)
        before = told(self.ws, name)
        if state.state == "fresh":
            self.outcome.fresh.append(name)
        elif self._run(state):
            state = state_of(name, self.at, self.params)
        if state.state == "fresh":
            made = self.ledger.pending.pop(name, {})
            provenance.synchronize(self.instance, self.at, self.params, state, before, made)
            self.told.append(state)
            if not state.locked:
                self.unlocked.append(name)

    def _run(self, state: State) -> bool:
        self.watcher.begin(state)
        begun = time.monotonic()
        error = self._materialize(state)
        self.at = Snapshot(self.ws)
        seconds = time.monotonic() - begun
        self.watcher.end(state.name, seconds, error)
        self.outcome.seconds[state.name] = seconds
        if error is not None:
            self.outcome.failed.append(state.name)
            self.outcome.errors[state.name] = error
        else:
            self.outcome.materialized.append(state.name)
        return error is None

    def _materialize(self, state: State) -> str | None:
        """Run a stage, of a sharded one its stale shards; what went wrong, if anything."""
        if not state.shards:
            return self._execute(state.name, {})
        for first, last in ranges(list(state.shards), state.todo):
            tags = {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
            if error := self._execute(state.name, tags):
                return error
        if not state.todo:  # every shard is current, but there are files of shards that are gone
            with recorded(state.name, self.ws, self.params):
                pass
        return None

    def _execute(self, name: str, tags: dict[str, str]) -> str | None:
        result = execute(self.defs, name, self.instance, tags)
        if result.success:
            return None
        return self._explain([event for event in result.all_events if event.is_step_failure])

    def _explain(self, failures: Sequence[dg.DagsterEvent]) -> str:
        error, chain = failures[0].step_failure_data.error, []
        while error is not None:
            chain.append(error)
            error = error.cause
        for link in chain:
            if link.cls_name == dg.DagsterExecutionInterruptedError.__name__:
                self.outcome.interrupted = True
                return "interrupted; the next run goes on where this one stopped"
            if link.cls_name == UserError.__name__:
                return link.message.strip().removeprefix(f"{UserError.__module__}.{UserError.__name__}: ")
        if any(disk_is_full(link.message) for link in chain):
            return NO_SPACE
        self.outcome.crashed = True
        return "".join([*chain[-1].stack, chain[-1].message.strip()])


def ranges(shards: Sequence[str], wanted: Sequence[str]) -> list[tuple[str, str]]:
    """The wanted shards as ranges of neighbours: [(first, last), ...]."""
    runs = groupby(shards, key=set(wanted).__contains__)
    neighbours = [list(run) for is_wanted, run in runs if is_wanted]
    return [(run[0], run[-1]) for run in neighbours]
