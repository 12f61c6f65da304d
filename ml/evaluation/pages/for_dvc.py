"""What `dvc metrics` and `dvc plots` show of the scores: files beside `scores.json`, named as `dvc.yaml` declares them.

`headlines.json` is one flat table; below `breakdown/` lies a list of rows for each benchmark and metric.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml.evaluation.pages.tables import BY_KIND, HEADLINES, REFERRING
from ml.workspace.atomic import write_json

KINDS = BY_KIND | dict.fromkeys((*REFERRING, "grounding/"), ("acc@0.5",))  # start of a split -> metrics shown by kind


def write(found: Mapping[str, Any], out: Path) -> None:
    """Write both into the folder `out`."""
    write_json(out / "headlines.json", headlines(found))
    for name, rows in breakdowns(found).items():
        write_json(out / "breakdown" / f"{name}.json", rows)


def headlines(found: Mapping[str, Any]) -> dict[str, float]:
    """The headline scores, named as `arrcoc trace` takes them: {"refcoco/val/acc@0.5": 95.0, ...}."""
    named = [(split, metric) for _, _, splits, metric, _ in HEADLINES for split in splits]
    scores = found["scores"]
    return {f"{split}/{metric}": scores[split][metric] for split, metric in named if metric in scores.get(split, {})}


def breakdowns(found: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By split and metric, a row a kind of question: {"refcoco/val/acc@0.5": [{"kind", "questions", "score"}, ...]}."""
    shown = {
        f"{split}/{metric}": [
            {"kind": kind, "questions": values["questions"], "score": values[metric]}
            for kind, values in groups.items()
            if metric in values
        ]
        for split, groups in found["breakdown"].items()
        for start, metrics in KINDS.items()
        if split.startswith(start)
        for metric in metrics
    }
    return {name: rows for name, rows in shown.items() if rows}
