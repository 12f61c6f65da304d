"""A stage's report as Dagster metadata: numbers, tables, and pictures that the page shows.

A picture is a file below the folder of what stages print, which Dagster's server hands out: within an event's metadata
the page would hide it behind a button.
"""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
from PIL import Image

from ml.workspace.atomic import atomic_path
from ml.workspace.report import Report

ROWS = 50  # of a table that are shown
INLINE = 560  # pixels in width of a picture that the page's narrow column shows
WIDTH = 56  # characters of a table's columns that the page's narrow column shows
DIALOG = 1000  # characters of Markdown beyond which the page opens a dialog instead, which is wide


def metadata(report: Report, home: Path, name: str) -> dict[str, dg.MetadataValue]:
    """What Dagster shows of a stage's report; the pictures are kept in its instance's folder `home`."""
    values: dict[str, dg.MetadataValue] = {label: _number(value) for label, value in report.numbers.items()}
    values |= {label: dg.MetadataValue.md(_table(rows)) for label, rows in report.tables.items()}
    values |= {f"rejected {reason}": dg.MetadataValue.int(count) for reason, count in report.rejected.items()}
    values |= {label: _picture(label, png, home, name) for label, png in report.pictures.items()}
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


def _picture(label: str, png: bytes, home: Path, stage: str) -> dg.MetadataValue:
    """Reduced, with a link to the whole; named by its bytes, so that a run's event shows the picture of that run."""
    name = f"{Path(label).stem}-{hashlib.md5(png).hexdigest()[:8]}"
    for suffix, content in (("png", png), ("jpeg", _reduced(png))):
        with atomic_path(home / "storage" / "pictures" / stage / f"{name}.{suffix}") as tmp:
            tmp.write_bytes(content)
    address = f"/logs/pictures/{stage}/{quote(name)}"
    return dg.MetadataValue.md(f"[![{label}]({address}/jpeg)]({address}/png)")


def _reduced(png: bytes) -> bytes:
    """The picture as a JPEG of at most INLINE pixels in width."""
    buffer = BytesIO()
    with Image.open(BytesIO(png)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((INLINE, small.height))
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
