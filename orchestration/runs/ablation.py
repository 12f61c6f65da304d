"""`arrcoc ablate`: the whole line, and without one of its parts, over several seeds.

Parts are the first three training stages, the frozen similarity in the relevance head, and queries of absent things.
Every case has a workspace of its own under `data/.ablation`, with the params changed, the data stages linked, and the
training stages and scores made anew. A stage left out has 0 steps: it hands on the model it got. The seed is that of
training (weights, order of the images); the data stay the same. A stage that the workspace itself or some case has
made already, from the same params, code and input, is linked: so cases share their beginnings, and go on where they
were cut.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from ml import pipeline
from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace, lineage, stages
from ml.workspace.atomic import atomic_path
from ml.workspace.snapshot import Snapshot
from orchestration import results
from orchestration.terminal import console, docs

FOLDER, MADE = ".ablation", ".made"
CHAIN = (*pipeline.TRAINING, "benchmark_scores")
Changes = dict[str, Any]  # dotted key of a param: its value
PARTS: dict[str, Changes] = {stage: {f"{stage}.steps": 0} for stage in pipeline.TRAINING[:-1]} | {
    "frozen_similarity": {"model.frozen_similarity": False},
    "absent_queries": {"training.absent": 0.0},
}
CASES: dict[str, str | None] = {"all stages": None} | {f"without {part}": part for part in PARTS}
SHOWN = (
    "refcoco/val/acc@0.5",
    "refcoco/heldout/acc@0.5",
    "refcoco+/val/acc@0.5",
    "refcocog/val/acc@0.5",
    "grounding/val/acc@0.5",
    "flickr30k/test/R@1",
    "relevance/val/balanced accuracy",
    "lvis/val/AP",
    "absence/val/found where absent",
    "absence/val/AUC",
)


def ablate(
    ws: Workspace,
    params: Params,
    seeds: int,
    tell: Callable[[str], None],
    cases: Mapping[str, str | None] = CASES,
    names: Sequence[str] = SHOWN,
) -> dict[str, Any]:
    """{"seeds": [seed...], "rows": [{"case", "left_out", "scores": {name: [value a seed]}}]}, scores in percent.

    Args:
        tell: takes a line of progress.
        cases: the part that each leaves out.
        names: of the scores.

    Raises:
        UserError: the data stages have not run.
    """
    numbers = list(range(params.seed, params.seed + seeds))
    rows: list[dict[str, Any]] = [{"case": case, "left_out": part, "scores": {}} for case, part in cases.items()]
    total = len(numbers) * len(rows)
    for done, (seed, row) in enumerate((seed, row) for seed in numbers for row in rows):
        changed = without(params, row["left_out"], seed)
        place = ws.data / FOLDER / f"{row['left_out'] or 'all'}_{seed}"
        tell(f"{done} of {total} done; {row['case']}, seed {seed}")
        run_case(ws, params, Workspace(place), changed, tell)
        for name, value in chosen(Workspace(place), names):
            row["scores"].setdefault(name, []).append(value)
    return {"seeds": numbers, "rows": rows}


def without(params: Params, part: str | None, seed: int) -> Params:
    """The params of a case; its runs stay out of the tracking server."""
    values = params.model_dump(mode="json")
    values["seed"], values["tracking"]["uri"] = seed, None
    for key, value in PARTS[part].items() if part else ():
        section, _, name = key.partition(".")
        values[section][name] = value
    return Params.model_validate(values)


def run_case(
    ws: Workspace,
    own: Params,
    place: Workspace,
    params: Params,
    tell: Callable[[str], None],
    after: Callable[[str], None] = lambda _: None,
) -> None:
    """Bring a case's workspace up to date.

    Args:
        own: `ws`'s params.
        tell: takes a line of progress.
        after: called with each stage whose output is there; what it raises ends the case.
    """
    _prepare(ws, place, params)
    key, same = "", True
    for stage in CHAIN:
        key = _key(ws, params, stage, key)
        same = same and _has_made(ws, own, stage, params)
        marker = place.data / MADE / stage
        if not marker.is_file() or marker.read_text() != key:
            marker.unlink(missing_ok=True)
            if twin := ws.stage(stage) if same else _twin(ws.data / FOLDER, stage, key):
                shutil.rmtree(place.stage(stage), ignore_errors=True)
                shutil.copytree(twin, place.stage(stage), copy_function=os.link)
            else:
                tell(f"  {stage}")
                pipeline.run(stage, place, params)
            _write(marker, key)
        after(stage)


def chosen(ws: Workspace, names: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Those of a workspace's scores, by benchmark/metric, that its benchmarks have."""
    scores = results.scores(ws)["scores"]
    for name in names:
        benchmark, _, metric = name.rpartition("/")
        if metric in scores.get(benchmark, {}):
            yield name, scores[benchmark][metric]


def table(found: dict[str, Any]) -> list[dict[str, str]]:
    """The table: a row a case, its mean over the seeds, and the least and greatest."""
    names = [name for name in SHOWN if name in found["rows"][0]["scores"]]
    return [{"case": row["case"]} | {name: _shown(row["scores"][name]) for name in names} for row in found["rows"]]


def show(found: dict[str, Any]) -> None:
    """The table on stdout."""
    rows = table(found)
    console.stdout().print(console.table(list(rows[0]), [list(row.values()) for row in rows]))


def write_docs(ws: Workspace, found: dict[str, Any]) -> None:
    """The table into docs/benchmarks.md."""
    docs.write(ws.root / "docs" / "benchmarks.md", "ablation", docs.table(table(found)))


def _prepare(ws: Workspace, place: Workspace, params: Params) -> None:
    """A workspace with the params, and with links to what the chain reads."""
    place.data.mkdir(parents=True, exist_ok=True)
    shutil.copy(ws.root / "dvc.yaml", place.root / "dvc.yaml")
    _write(place.params_file, yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False))
    for name in stages.above(stages.load(ws), CHAIN):
        if name in CHAIN:
            continue
        if not ws.stage(name).is_dir():
            raise UserError(f"{ws.stage(name)}: missing; run arrcoc run first, its data stages are shared by all cases")
        if not place.stage(name).is_symlink():
            place.stage(name).symlink_to(ws.stage(name))


def _key(ws: Workspace, params: Params, stage: str, before: str) -> str:
    """The digest of what a stage is made from; `before`: that of the stage before."""
    declared = stages.stage(ws, stage)
    data = {name: lineage.data_version(ws, ws.stage(name)) for name in declared.upstream if name not in CHAIN}
    made_from = [before, Snapshot(ws).code_digest(declared), declared.param_values(params), data]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def _has_made(ws: Workspace, own: Params, stage: str, params: Params) -> bool:
    """Whether the workspace's own output of a stage is what these params make, if that of the stages above is."""
    from orchestration.freshness.staleness import state_of

    values = stages.stage(ws, stage).param_values
    return values(own) == values(params) and state_of(stage, Snapshot(ws), own).state == "fresh"


def _twin(folder: Path, stage: str, key: str) -> Path | None:
    """The output of another case that was made from the same."""
    markers = sorted(folder.glob(f"*/data/{MADE}/{stage}"))
    return next((marker.parents[1] / stage for marker in markers if marker.read_text() == key), None)


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as tmp:
        tmp.write_text(text, encoding="utf-8")


def _shown(values: list[float]) -> str:
    mean = f"{fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f} to {max(values):.1f})"
