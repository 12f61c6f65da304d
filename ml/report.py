"""What a stage tells of its work; Dagster shows it as metadata, MLflow keeps it as artifacts."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """Numbers, tables (rows as dicts), pictures (PNG bytes) and counts of what was rejected, by reason."""

    numbers: dict[str, float | int | str] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    skipped: bool = False  # the output was current; nothing was done
