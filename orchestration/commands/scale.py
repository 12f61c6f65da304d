"""`arrcoc scale`: the plan for all of SA-1B."""

from pathlib import Path
from typing import Annotated, Any

import typer

from orchestration.terminal.options import AsJson, show, workspace

TERABYTE = 1e12


def scale(
    pair: Annotated[Path | None, typer.Argument(help="A JSON of SA-1B, its JPEG beside it, to measure on.")] = None,
    inputs: Annotated[Path | None, typer.Option(help="Your prices and speeds; copy ml/bench/scale/scale.yaml.")] = None,
    as_json: AsJson = False,
) -> None:
    """Work out what all of SA-1B takes: bytes, core-hours, GPU-hours, hours and money on 8 GPUs and on a cluster.

    Rates are measured here, or are inputs with a source; the workspace must hold a finished training set. A minute.
    """
    from ml.bench.scale.plan import scale as plan

    ws, _ = workspace()
    show(as_json, plan(ws, pair, inputs), print_plan)


def print_plan(found: dict[str, Any]) -> None:
    """The work of each stage, its hours on each fleet, and what the figures rest on."""
    from orchestration.terminal import console

    screen = console.stdout()
    screen.print(
        _table(["stage", "TB", "core-hours", "GPU-hours"], [_work(row) for row in found["stages"]]), "", sep="\n"
    )
    plans = found["plans"]
    hours = [[stage, *(f"{plan['hours'][stage]:g}" for plan in plans)] for stage in plans[0]["hours"]]
    screen.print(_table(["hours", *(f"{plan['plan']}, {plan['gpus']} GPUs" for plan in plans)], hours), "", sep="\n")
    for plan in plans:
        screen.print(
            f"{plan['plan']}: data {plan['data_hours']:g} h, training {plan['training_hours']:g} h, "
            f"{plan['usd']:,} USD; {plan['samples_a_day']:,} samples a day, {plan['times_the_goal']:g} x the goal; "
            f"all of it {'fits' if plan['fits_its_disks'] else 'does not fit'} on its disks"
        )
    screen.print()
    given = [[name, f"{entry['value']:g}", entry["unit"], entry["source"]] for name, entry in found["inputs"].items()]
    screen.print(_table(["input", "value", "unit", "source"], given), "", sep="\n")
    rates = [[name, f"{value:g}"] for name, value in found["recorded"].items()]
    screen.print(_table(["recorded here", "images/s"], rates), "", sep="\n")
    screen.print(_table(["measured", "an image"], [[name, f"{value:g}"] for name, value in found["measured"].items()]))
    screen.print(f"[dim]{found['machine']}[/]")


def _work(row: dict[str, Any]) -> list[str]:
    return [row["stage"], f"{row['bytes'] / TERABYTE:.3g}", f"{row['core_hours']:g}", f"{row['gpu_hours']:g}"]


def _table(columns: list[str], rows: list[list[str]]) -> Any:
    from rich.table import Table

    table = Table(*columns, box=None, header_style="dim", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table
