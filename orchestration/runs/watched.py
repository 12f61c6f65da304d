"""A run as a person watches it, and what `arrcoc status` shows."""

from contextlib import closing
from typing import Any

from rich.console import Console

from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace, stages
from orchestration import results
from orchestration.freshness.lock import Holder
from orchestration.freshness.staleness import State, states
from orchestration.runs.outcome import Outcome, nothing_to_do
from orchestration.terminal import console

INTERRUPTED = 130  # what a shell reports of a command ended by Ctrl-C


def print_status(found: list[State], running: Holder | None) -> None:
    """Each stage's state and why, what is being run by another process, and what a run would do."""
    screen = console.stderr()
    screen.print(console.stage_table([_row(state) for state in found]))
    if running:
        screen.print(f"\n{running.words()}", style="cyan", markup=False)
    todo = [state.name for state in found if state.state != "fresh"]
    if not todo:
        screen.print("\nNothing is stale.")
        return
    cost = sum(state.seconds or 0 for state in found if state.name in todo)
    took = f" (they took {cost:.0f} s last time)" if cost else ""
    screen.print(f"\n[bold]arrcoc run[/] would run {', '.join(todo)}{took}, then what their new output makes stale.")


def run(ws: Workspace, params: Params, select: str | None, quiet: bool) -> tuple[dict[str, Any], int]:
    """Run what is stale; the object to print, and the exit code."""
    screen = console.stderr()
    outcome = nothing_to_do(ws, params) if select is None else None
    if outcome is None:
        from orchestration.checkup.checkup import before_run
        from orchestration.runs.ahead import pool_ahead

        for finding in before_run(ws, whole=select is None):
            screen.print(finding.line(), style="yellow", markup=False)
        with closing(pool_ahead(ws, params)) as pool:
            from orchestration.runs.run import run as run_line  # late: Dagster takes a second

            outcome = run_line(ws, params, select, console.Progress(screen), pool)
    missed = results.gate_failed(ws) or not all(goal["met"] for goal in _milestones(ws))
    if not quiet:
        _print_outcome(ws, outcome, screen)
    for name, error in outcome.errors.items():
        screen.print(f"{name} failed: {error}", style="red", markup=False)
    if outcome.interrupted:
        return outcome.to_json(), INTERRUPTED
    if outcome.errors:
        return outcome.to_json(), 1 if outcome.crashed else 2
    return outcome.to_json(), 1 if missed else 0


def would_run(ws: Workspace, params: Params, select: str | None) -> list[str]:
    """The stages that a run would take first: those stale now, of those selected."""
    from orchestration.definitions import build
    from orchestration.runs.run import selection

    chosen = list(stages.load(ws)) if select is None else selection(build(ws, params), ws, select)
    return [state.name for state in states(ws, params) if state.name in chosen and state.state != "fresh"]


def _print_outcome(ws: Workspace, outcome: Outcome, screen: Console) -> None:
    made, blocked = set(outcome.materialized), set(outcome.blocked)
    states = {**dict.fromkeys(outcome.fresh, "fresh"), **dict.fromkeys(made, "made")}
    states |= {**dict.fromkeys(outcome.failed, "failed"), **dict.fromkeys(blocked, "not run")}
    rows = []
    for name in stages.load(ws):
        if name in states:
            seconds = f"{outcome.seconds[name]:.1f} s" if name in outcome.seconds else ""
            rows.append((name, states[name], seconds, "a stage above failed" if name in blocked else ""))
    screen.print()
    screen.print(console.stage_table(rows))
    if not made and not outcome.failed:
        screen.print("\nNothing is stale.")
    if goals := _milestones(ws):
        screen.print()
        screen.print(console.milestone_table(goals))
        if results.gate_failed(ws):
            screen.print("[red]The release gate did not hold[/]: int8 is too far below fp32, nothing was released.")
        screen.print(f"\n{console.next_steps(ws)}")


def _milestones(ws: Workspace) -> list[dict[str, Any]]:
    try:
        return list(results.scores(ws)["milestones"])
    except UserError:  # not evaluated yet
        return []


def _row(state: State) -> tuple[str, str, str, str]:
    counts = state.to_json()["shards"]
    shards = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number and kind != "fresh")
    why = console.first(state.reasons) + (f" ({shards} of {len(state.shards)})" if shards else "")
    return state.name, state.state, f"{state.seconds:.1f} s" if state.seconds else "", why
