"""A stage's report as Dagster metadata: numbers, tables, and pictures that the page shows."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from ml.atomic import atomic_path
from ml.report import Report

ROWS = 50  # of a table that are shown
INLINE_BYTES = 400_000  # a larger picture is named, not embedded: every event carries its metadata


def metadata(report: Report, pictures: Path) -> dict[str, dg.MetadataValue]:
    """What Dagster shows of a report; the pictures are also kept as files in the folder `pictures`."""
    values: dict[str, dg.MetadataValue] = {name: _number(value) for name, value in report.numbers.items()}
    values |= {name: dg.MetadataValue.md(_table(rows)) for name, rows in report.tables.items()}
    values |= {f"rejected {reason}": dg.MetadataValue.int(count) for reason, count in report.rejected.items()}
    values |= {name: _picture(name, png, pictures) for name, png in report.pictures.items()}
    return values


def _number(value: float | int | str) -> dg.MetadataValue:
    if isinstance(value, str):
        return dg.MetadataValue.text(value)
    return dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(value)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column)) for column in columns] for row in rows[:ROWS])]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return text if len(rows) <= ROWS else f"{text}\n\n{len(rows) - ROWS} rows more"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _picture(name: str, png: bytes, folder: Path) -> dg.MetadataValue:
    path = folder / Path(name).with_suffix(".png").name
    with atomic_path(path) as tmp:
        tmp.write_bytes(png)
    if len(png) > INLINE_BYTES:
        return dg.MetadataValue.path(path)
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})\n\n`{path}`")
