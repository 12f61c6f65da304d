"""`arrcoc bench NAME`: the benchmarks by name, and their table."""

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from ml.errors import UserError
from orchestration.terminal.options import AsJson, show

BENCHES = {
    "masks": "ml.bench.masks:bench",
    "index": "ml.bench.index:bench",
    "filter": "ml.bench.filter:bench",
    "evaluation": "ml.bench.evaluation:bench",
    "loader": "ml.bench.loader:bench",
    "freshness": "ml.bench.freshness:bench",
    "shards": "ml.bench.shards:bench",
    "crops": "ml.bench.crops:bench",
    "phrases": "ml.bench.phrases:bench",
    "vocabulary": "ml.bench.vocabulary:bench",
    "serve": "ml.bench.serve:bench",
}


def bench(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(BENCHES)}.")],
    paths: Annotated[list[Path] | None, typer.Argument(help="Files to measure on, if it takes any.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what is claimed to be fast against a named peer, in one run; docs/benchmarks.md records it."""
    from orchestration.commands.bench import measure, print_table

    found = measure(name, paths or [])
    show(as_json, found, print_table)


def measure(name: str, paths: list[Path]) -> dict[str, Any]:
    """Run a benchmark: {"name", "machine", "rows": [{"case", "ours", "peer", "peer_name", "unit", "ratio"}]}.

    Raises:
        UserError: no such benchmark, or its input is wrong.
    """
    if name not in BENCHES:
        raise UserError(f"benchmark {name!r} is unknown; choose from {', '.join(BENCHES)}")
    module, _, function = BENCHES[name].partition(":")
    bench: Callable[..., dict[str, Any]] = getattr(import_module(module), function)
    parameters = inspect.signature(bench).parameters
    takes, needed = len(parameters), [name for name, p in parameters.items() if p.default is p.empty]
    if len(paths) < len(needed):
        raise UserError(f"bench {name}: no {needed[-1]} given; say which: arrcoc bench {name} {needed[-1].upper()}")
    if len(paths) > takes:
        raise UserError(f"bench {name}: {len(paths)} paths given, it takes {'no more than one' if takes else 'none'}")
    return bench(*paths)


def print_table(result: dict[str, Any]) -> None:
    """Ours and the peer's, case by case."""
    from rich.table import Table

    from orchestration.terminal import console

    table = Table("case", "ours", "peer", "unit", "ratio", "peer is", box=None, header_style="dim", pad_edge=False)
    for row in result["rows"]:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:g}x"
        figures = f"{row['ours']:g}", f"{row['peer']:g}", row["unit"], ratio, row["peer_name"]
        table.add_row(row["case"], *figures)
    screen = console.stdout()
    screen.print(table)
    screen.print(f"[dim]{result['machine']}; a ratio above 1 means that ours is better[/]")
