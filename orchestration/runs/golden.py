"""`arrcoc golden`: the scores of several seeds, kept in the repository, and whether a run lies within their spread.

Where nothing but the seed has changed, a score lies in its interval 19 times in 20: the prediction interval of one more
draw from a normal distribution, by Student's t (Hahn and Meeker, "Statistical Intervals", 1991). Of twenty scores one
may so lie outside by chance; several, or one that is far outside, are a change of science.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace, stages
from ml.workspace.atomic import write_json
from orchestration.runs.ablation import CHAIN, ablate, chosen
from orchestration.terminal import console

CONFIDENCE = 0.95
NARROWEST = 0.5  # points to either side: seeds may agree by chance
SCORES = (
    *(f"refcoco/{split}/acc@0.5" for split in ("val", "testA", "testB", "heldout", "ways")),
    *(f"refcoco+/{split}/acc@0.5" for split in ("val", "testA", "testB")),
    *(f"refcocog/{split}/acc@0.5" for split in ("val", "test")),
    "grounding/val/acc@0.5",
    "flickr30k/test/R@1",
    "flickr30k/ways/R@1",
    "lvis/val/AP",
    "lvis/val/ceiling",
    "relevance/val/balanced accuracy",
    "relevance/val/calibration error",
    "relevance/val/hierarchical consistency",
    "vqa/val/exact match",
    "flickr30k_captions/test/BLEU-4",
    "absence/val/found where absent",
    "absence/val/AUC",
)


def measure(ws: Workspace, params: Params, seeds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Train and score the line with several seeds: {"seeds": [...], "scores": {name: [value a seed]}, "params": {...}}.

    Args:
        tell: takes a line of progress.

    Raises:
        UserError: the data stages have not run.
    """
    found = ablate(ws, params, seeds, tell, {"all stages": None}, SCORES)
    return {"seeds": found["seeds"], "scores": found["rows"][0]["scores"], "params": bearing(ws, params)}


def write(ws: Workspace, found: dict[str, Any]) -> Path:
    """Keep what was measured as docs/golden.json; the file."""
    write_json(path := _file(ws), found)
    return path


def compare(ws: Workspace, params: Params) -> dict[str, Any]:
    """The workspace's scores beside the golden ones: {"rows": [...], "outside": [name...], "changed": [param...]}.

    Raises:
        UserError: there are no golden scores, or no scores.
    """
    golden = read(ws)
    now = dict(chosen(ws, golden["scores"]))
    rows = [_row(name, values, now[name]) for name, values in golden["scores"].items() if name in now]
    lacking = [name for name in golden["scores"] if name not in now]
    outside = [row["score"] for row in rows if row["verdict"] != "within"]
    changed = _differ(golden["params"], bearing(ws, params))
    return {"rows": rows, "outside": outside, "lacking": lacking, "changed": changed, "seeds": golden["seeds"]}


def read(ws: Workspace) -> dict[str, Any]:
    """What `write` kept.

    Raises:
        UserError: there is none, or it is no such file.
    """
    path = _file(ws)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if all(len(values) == len(found["seeds"]) > 1 for values in found["scores"].values()):
            return dict(found)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no golden scores; arrcoc golden --seeds 3 trains and keeps them") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UserError(f"{path}: found no two or more values a score; arrcoc golden --seeds 3 writes it anew")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Where one more value is expected, from those of other seeds."""
    from scipy.stats import t

    n = len(values)
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, n - 1))
    half = max(NARROWEST, quantile * stdev(values) * (1 + 1 / n) ** 0.5)
    return fmean(values) - half, fmean(values) + half


def bearing(ws: Workspace, params: Params) -> dict[str, Any]:
    """The params that scores depend on, but for the seed."""
    line = stages.load(ws)
    named = [*stages.above(line, CHAIN), *CHAIN]
    values = {key: value for name in named for key, value in line[name].param_values(params).items()}
    return {key: values[key] for key in sorted(values) if key != "seed"}


def show(found: dict[str, Any]) -> None:
    """The comparison on stdout."""
    screen, columns = console.stdout(), ["score", "now", "expected", "mean", "least", "greatest", "verdict"]
    rows = [[row["score"], *(_shown(row[name]) for name in columns[1:-1]), row["verdict"]] for row in found["rows"]]
    screen.print(console.table(columns, rows))
    for name in found["lacking"]:
        screen.print(f"{name}: this workspace has no such score", style="yellow", markup=False)
    if found["changed"]:
        screen.print(f"\nOther params than the golden runs had: {', '.join(found['changed'])}", markup=False)
    n = len(found["outside"])
    screen.print(f"\n{n} of {len(found['rows'])} scores lie outside of what {len(found['seeds'])} seeds let expect.")


def _file(ws: Workspace) -> Path:
    return ws.root / "docs" / "golden.json"


def _row(name: str, values: Sequence[float], now: float) -> dict[str, Any]:
    low, high = interval(values)
    verdict = "below" if now < low else "above" if now > high else "within"
    expected = [round(low, 2), round(high, 2)]
    extremes = {"mean": round(fmean(values), 2), "least": min(values), "greatest": max(values)}
    return {"score": name, "now": now, "expected": expected, **extremes, "verdict": verdict}


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The dotted keys of params whose values differ."""
    return list(_differing(one, other, ""))


def _differing(one: Any, other: Any, key: str) -> Iterable[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in sorted({*one, *other}):
            yield from _differing(one.get(name), other.get(name), f"{key}.{name}" if key else name)
    elif one != other:
        yield key


def _shown(value: Any) -> str:
    return " to ".join(f"{number:.1f}" for number in (value if isinstance(value, list) else [value]))
