"""What a stage tells of its work; Dagster shows it as metadata, MLflow keeps it as artifacts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class Sum(float):
    """A number that those of all shards are added up to; of other fractions, the last is kept."""


@dataclass
class Report:
    """Numbers, tables (rows as dicts), pictures (PNG bytes) and counts of what was rejected, by reason."""

    numbers: dict[str, float | int | str] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    skipped: bool = False  # the output was current; nothing was done


def merge(reports: Sequence[Report]) -> Report:
    """One report for a stage from those of its shards: numbers and rejects summed, the first pictures kept."""
    merged = Report(skipped=all(report.skipped for report in reports))
    for report in reports:
        for name, value in report.numbers.items():
            before = merged.numbers.get(name, 0)
            merged.numbers[name] = _together(before, value)
        for reason, count in report.rejected.items():
            merged.rejected[reason] = merged.rejected.get(reason, 0) + count
        for name, rows in report.tables.items():
            merged.tables.setdefault(name, []).extend(rows)
        for name, png in report.pictures.items():
            merged.pictures.setdefault(name, png)
    return merged


def _together(before: float | int | str, value: float | int | str) -> float | int | str:
    if isinstance(value, Sum) and isinstance(before, int | Sum):
        return Sum(before + value)
    return before + value if isinstance(value, int) and isinstance(before, int) else value
