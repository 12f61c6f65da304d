"""`arrcoc compare`: two runs side by side, the knobs that differ and what they did to the scores."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml.errors import UserError
from ml.params import Params
from ml.training.tracking.tracking import spelled
from ml.workspace import Workspace
from orchestration.following import runs
from orchestration.terminal import console

SCORES, DATA = "data/benchmark_scores", "data/benchmark_data"
REFERRING = ("refcoco", "refcoco+", "refcocog")
NEEDED = ("queries/", "truth/", "regions/", "images.parquet")  # of the benchmark data: no pictures
Hits = dict[str, tuple[float, float, str]]  # by question: hits, of how many, image


def compare(ws: Workspace, params: Params, a: str, b: str) -> dict[str, Any]:
    """The object that `arrcoc compare --json` prints: {"a", "b", "stage", "knobs", "code", "scores", "shared"}.

    Raises:
        UserError: a run is not there, did not finish, or is of another stage than the other.
    """
    first, second = runs.find(ws, params, a), runs.find(ws, params, b)
    if unknown := next((name for name, found in ((a, first), (b, second)) if not found.run), None):
        raise UserError(f"{unknown}: no run of this store made it; give the ids of two runs (arrcoc report lists them)")
    if first.stage != second.stage:
        raise UserError(f"{a} is a run of {first.stage}, {b} of {second.stage}; give two runs of one stage")
    one, other = first.line, second.line
    return {
        "a": first.id,
        "b": second.id,
        "stage": first.stage,
        "knobs": _differing(first.run.data.params, second.run.data.params),
        "code": sorted(_differing(_code(first), _code(second))),
        "scores": _scores(first, second),
        "shared": [name for name in other if name in one and one[name]["out"] == other[name]["out"]],
        "differing": [name for name in other if name not in one or one[name]["out"] != other[name]["out"]],
    }


def show(found: dict[str, Any], everything: bool) -> None:
    """The comparison as tables on stdout; `everything`: every score, not the headlines alone."""
    screen = console.stdout()
    screen.print(f"{found['stage']}: A is run {found['a']}, B is run {found['b']}\n")
    knobs = [[key, *(str(value) for value in pair)] for key, pair in found["knobs"].items()]
    screen.print(console.table(["knob", "A", "B"], knobs) if knobs else "no knob differs")
    screen.print(f"code that differs: {', '.join(found['code']) or 'none'}\n")
    shown = [row for row in found["scores"] if row["headline"] or everything]
    rows = [
        [row["name"], f"{row['a']:g}", f"{row['b']:g}", f"{row['difference']:+.4g}", _bounds(row["interval"])]
        for row in shown
    ]
    screen.print(console.table(["score", "A", "B", "B - A", "95%"], rows))
    if left := len(found["scores"]) - len(shown):
        screen.print(f"[dim]{left} more with --all[/]")
    screen.print(f"\nsame bytes: {', '.join(found['shared']) or 'none'}")
    screen.print(f"other bytes: {', '.join(found['differing']) or 'none'}")


def _differing(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, list[str | None]]:
    return {key: [a.get(key), b.get(key)] for key in sorted({*a, *b}) if a.get(key) != b.get(key)}


def _code(run: runs.Traced) -> dict[str, str]:
    return {file: md5 for made in run.line.values() for file, md5 in made.get("files", {}).items()}


def _scores(a: runs.Traced, b: runs.Traced) -> list[dict[str, Any]]:
    """Every score that both runs have, spelled as in tables, the headlines first and in their order."""
    before, after = ({spelled(name): value for name, value in run.run.data.metrics.items()} for run in (a, b))
    bounds = _intervals(a, b) if a.stage == runs.SCORES else {}
    names = sorted(name for name in before if name in after and not name.startswith("system/"))
    first = _headlines(a.stage, names)
    return [
        {
            "name": name,
            "a": before[name],
            "b": after[name],
            "difference": round(after[name] - before[name], 6),
            "interval": bounds.get(name),
            "headline": name in first,
        }
        for name in dict.fromkeys([*first, *names])
    ]


def _headlines(stage: str, names: list[str]) -> list[str]:
    """The headline scores among those of a run; of a stage that trains, what it was validated by."""
    from ml.evaluation.pages.tables import headlines

    if stage == runs.SCORES:
        return headlines(names)
    return [name for name in names if not name.startswith("train/")]


def _intervals(a: runs.Traced, b: runs.Traced) -> dict[str, list[float]]:
    """95% of each headline's difference in points, by its name; {} where the questions were others."""
    from ml.evaluation.metrics.basics import bootstrap

    versions = {run.line["benchmark_data"]["out"] for run in (a, b)}
    if len(versions) > 1:
        return {}
    before, after = dict(_answers(a)), dict(_answers(b))
    found = {}
    for name in before.keys() & after.keys():
        common = sorted(before[name].keys() & after[name].keys())
        gains = [after[name][key][0] - before[name][key][0] for key in common]
        totals, images = zip(*(after[name][key][1:] for key in common), strict=True)
        low, high = bootstrap(gains, totals, images, a.params.seed)
        found[name] = [round(100 * low, 2), round(100 * high, 2)]
    return found


def _answers(run: runs.Traced) -> Iterator[tuple[str, Hits]]:
    """What each question of a run's benchmarks got, by the headline's name, from the predictions' bytes."""
    from ml.evaluation.metrics.basics import hit_within
    from ml.evaluation.metrics.outcomes import outcomes
    from ml.evaluation.metrics.relevance_scores import judge

    with tempfile.TemporaryDirectory() as folder:
        data, answers = Path(folder) / "data", Path(folder) / "scores"
        _link(run.ws, DATA, run.line["benchmark_data"]["out"], data)
        _link(run.ws, SCORES, run.line["benchmark_scores"]["out"], answers)
        predictions = answers / "predictions"
        for benchmark in (*REFERRING, "flickr30k"):
            if not (predictions / f"{benchmark}.parquet").is_file():
                continue
            found = outcomes(data, predictions, benchmark)
            headline = "R@1" if benchmark == "flickr30k" else "acc@0.5"
            for split in {outcome.split for outcome in found}:
                hits = {o.query_id: (hit_within(o.ious, 1), 1.0, o.image) for o in found if o.split == split}
                yield f"{benchmark}/{split}/{headline}", hits
                if (benchmark, split) == ("refcoco", "val"):
                    maps = {o.query_id: (hit_within([o.map_iou], 1), 1.0, o.image) for o in found if o.split == split}
                    yield "grounding/val/acc@0.5", maps
        if (predictions / "relevance.parquet").is_file():
            judged = enumerate(judge(data, predictions))
            right = {str(n): (float(j.correct.sum()), float(len(j.correct)), j.image) for n, j in judged}
            yield "relevance/val/accuracy", right


def _link(ws: Workspace, path: str, version: str, folder: Path) -> None:
    for name, file in runs.files(ws, path, version).items():
        if path != DATA or name.startswith(NEEDED):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(file)


def _bounds(interval: list[float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:+.1f}, {interval[1]:+.1f}]"
