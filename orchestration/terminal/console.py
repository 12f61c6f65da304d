"""The terminal: progress lines and tables on stderr, results on stdout."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml.workspace import Workspace
from ml.workspace.remaining import Remaining, in_words

COLORS = {
    "ok": "green",
    "warning": "yellow",
    "wrong": "red",
    "fresh": "green",
    "made": "cyan",
    "stale": "yellow",
    "missing": "yellow",
    "failed": "red",
    "not run": "red",
}
PROGRESS_LINES = 5  # of a stage's shards
WIDTH = 160  # where there is no terminal to ask


def stderr() -> Console:
    """A console on the present stderr, whoever redirects it later: Dagster captures it while a stage runs."""
    file = os.fdopen(os.dup(2), "w", buffering=1)
    return Console(file=file, highlight=False, soft_wrap=True, width=None if file.isatty() else WIDTH)


def stdout() -> Console:
    """A console for results."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)


class Progress:
    """Says on a console how a run goes on."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.remaining = Remaining()

    def begin(self, state: Any) -> None:
        """A stage starts."""
        todo, total = len(state.todo), len(state.shards)
        many = f" [dim]({todo} of {total})[/]" if total else ""
        took = f" [dim](took {in_words(state.seconds)} last time)[/]" if state.seconds else ""
        self.console.print(f"[cyan]>[/] [bold]{state.name}[/]{many} [dim]{first(state.reasons)}[/]{took}")
        self.remaining = Remaining()

    def shard(self, name: str, shard: str, done: int, total: int) -> None:
        """A shard of it is done."""
        left = self.remaining.words(done, total)
        if done % max(1, total // PROGRESS_LINES) == 0 and done < total:
            self.console.print(f"  [dim]{done} of {total}: {shard}{left}[/]")

    def end(self, name: str, seconds: float, error: str | None) -> None:
        """The stage has ended."""
        if error is None:
            self.console.print(f"  [green]done[/] in {seconds:.1f} s")
        else:
            self.console.print(f"  [red]failed[/] after {seconds:.1f} s")


def first(reasons: Sequence[str]) -> str:
    """The first reason, and how many more there are."""
    return "" if not reasons else reasons[0] + (f", and {len(reasons) - 1} more" if len(reasons) > 1 else "")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table."""
    shown = Table(*columns, box=None, header_style="dim", pad_edge=False)
    for row in rows:
        shown.add_row(*row)
    return shown


def stage_table(rows: Sequence[tuple[str, str, str, str]]) -> Table:
    """Rows of (stage, state, time, why)."""
    table = Table("stage", "state", "time", "why", box=None, header_style="dim", pad_edge=False)
    for name, state, seconds, why in rows:
        table.add_row(name, f"[{COLORS[state]}]{state}[/]", seconds, f"[dim]{why}[/]")
    return table


def checkup_table(findings: Sequence[Any]) -> Table:
    """What the checkup found, and the way out where something is amiss."""
    table = Table("check", "state", "found", "wanted", "way out", box=None, header_style="dim", pad_edge=False)
    for item in findings:
        cells = (item.found, "" if item.state == "ok" else item.wanted, item.mend)
        table.add_row(item.name, f"[{COLORS[item.state]}]{item.state}[/]", *map(escape, cells))
    return table


def milestone_table(milestones: Sequence[dict[str, Any]]) -> Table:
    """Goal and value of each milestone."""
    table = Table("milestone", "goal", "value", "", box=None, header_style="dim", pad_edge=False)
    for row in milestones:
        verdict = "[green]met[/]" if row["met"] else "[red]missed[/]"
        table.add_row(row["name"], f"{row['goal']:.1f}", f"{row['value']:.1f}", verdict)
    return table


def score_table(scores: dict[str, dict[str, float]]) -> Table:
    """Every benchmark with its first scores."""
    table = Table("benchmark", "scores", box=None, header_style="dim", pad_edge=False)
    for benchmark, values in scores.items():
        table.add_row(benchmark, "  ".join(f"{name} {value:g}" for name, value in values.items()))
    return table


def next_steps(ws: Workspace) -> str:
    """Where to look after a run."""
    return (
        "[bold]arrcoc ui[/] opens the lineage (Dagster) and the runs (MLflow); "
        '[bold]arrcoc predict IMAGE "the red car left of the house"[/] asks the model; '
        f"pictures of right and wrong answers: {ws.stage('benchmark_scores') / 'pictures'}"
    )
