"""A stage's report as Dagster metadata: numbers, tables, and pictures that the page shows."""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import dagster as dg
from PIL import Image

from ml.workspace.atomic import atomic_path
from ml.workspace.report import Report

ROWS = 50  # of a table that are shown
INLINE_BYTES = 400_000  # a larger picture is shown reduced: every event carries its metadata
REDUCED = 1160  # pixels a side, at most: what the page's dialog shows
WIDTH = 40  # characters of a table's columns that the page's narrow column shows
DIALOG = 1000  # characters of Markdown beyond which the page opens a dialog instead, which is wide


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
    text = text if len(rows) <= ROWS else f"{text}\n\n{len(rows) - ROWS} rows more"
    return text.ljust(DIALOG + 1) if _is_wide(lines) else text


def _is_wide(lines: Sequence[Sequence[str]]) -> bool:
    """Whether the page would cut a table's last columns off."""
    return sum(max(map(len, column)) for column in zip(*lines, strict=True)) > WIDTH


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _picture(name: str, png: bytes, folder: Path) -> dg.MetadataValue:
    path = folder / Path(name).with_suffix(".png").name
    with atomic_path(path) as tmp:
        tmp.write_bytes(png)
    kind, shown = ("png", png) if len(png) <= INLINE_BYTES else ("jpeg", _reduced(png))
    return dg.MetadataValue.md(f"![{name}](data:image/{kind};base64,{base64.b64encode(shown).decode()})\n\n`{path}`")


def _reduced(png: bytes) -> bytes:
    """The picture as a JPEG of at most REDUCED pixels a side."""
    buffer = BytesIO()
    with Image.open(BytesIO(png)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((REDUCED, REDUCED))
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
