"""Asset checks: the quality of the data, the milestones, the release gate. None stops the line; all are shown."""

import json
from collections.abc import Iterator
from functools import partial

import dagster as dg
import pyarrow.parquet as pq

from ml import pipeline
from ml.compute.pool import Pool
from ml.params import Params
from ml.workspace import Workspace
from orchestration import results
from orchestration.metadata import metadata

MEASURED = {  # what each milestone is a goal for
    "grounding": "acc@0.5 of the grounding map alone on RefCOCO val",
    "relevance": "relevance accuracy on the relevance benchmark",
    "refcoco": "acc@0.5 on RefCOCO val",
    "flickr30k": "R@1, AnyBox, on Flickr30k Entities test",
}
JUDGED = 24  # images whose labels are compared with the truth: each is drawn again for that


def checks(ws: Workspace, params: Params) -> list[dg.AssetChecksDefinition]:
    """All checks of a workspace."""
    found = [rejects(ws, params), milestones(ws, params), release_gate(ws)]
    return [*found, label_truth(ws, params)] if params.shards.source == pipeline.TOYTOWN else found


def rejects(ws: Workspace, params: Params) -> dg.AssetChecksDefinition:
    """The share of masks that were rejected, against `quality.max_reject_fraction`."""

    @dg.asset_check(asset="mask_index", name="rejects", description=rejects.__doc__)
    def check() -> dg.AssetCheckResult:
        files = sorted(ws.stage("mask_index").glob("*.parquet"))
        rows = {path: pq.read_metadata(path).num_rows for path in files}
        rejected = sum(count for path, count in rows.items() if path.name.endswith(".rejects.parquet"))
        total = sum(rows.values())
        fraction = rejected / total if total else 0.0
        limit = params.quality.max_reject_fraction
        counts = {"rejected": rejected, "indexed": total - rejected, "fraction": fraction, "limit": limit}
        return dg.AssetCheckResult(passed=fraction <= limit, metadata=counts)

    return check


def label_truth(ws: Workspace, params: Params) -> dg.AssetChecksDefinition:
    """How far the pseudo-labels of a few images agree with the drawn scenes: told, never failed."""

    @dg.asset_check(asset="pseudo_labels", name="label_truth", description=label_truth.__doc__)
    def check(pool: dg.ResourceParam[Pool]) -> dg.AssetCheckResult:
        shard = min(path.stem for path in ws.stage("pseudo_labels").glob("*.parquet"))
        from ml.toytown.judge import judge

        ((_, report),) = pool.map(partial(judge, ws, params, JUDGED), [shard], gpu=True)
        return dg.AssetCheckResult(passed=True, metadata=metadata(report, ws.root / ".dagster", "label_truth"))

    return check


def milestones(ws: Workspace, params: Params) -> dg.AssetChecksDefinition:
    """The milestones, a check each; a missed one, or one whose benchmark is left out, is a warning."""
    names = list(params.milestones.model_dump())
    specs = [
        dg.AssetCheckSpec(
            f"milestone_{name}",
            asset="benchmark_scores",
            description=f"Whether {MEASURED[name]} is at least {goal:g} % (params: milestones.{name}).",
        )
        for name, goal in params.milestones.model_dump().items()
    ]

    @dg.multi_asset_check(specs=specs, name="milestones", description=milestones.__doc__)
    def check() -> Iterator[dg.AssetCheckResult]:
        reached = {goal["name"]: goal for goal in results.scores(ws)["milestones"]}
        for name in names:
            goal = reached.get(name, {"met": False, "value": "not measured"})
            yield dg.AssetCheckResult(
                asset_key="benchmark_scores",
                check_name=f"milestone_{name}",
                passed=bool(goal["met"]),
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"goal": getattr(params.milestones, name), "value": goal["value"]},
            )

    return check


def release_gate(ws: Workspace) -> dg.AssetChecksDefinition:
    """Whether int8 is close enough to fp32 for the model to be released."""

    @dg.asset_check(asset="released_model", name="release_gate", description=release_gate.__doc__)
    def check() -> dg.AssetCheckResult:
        gate = json.loads((ws.stage("released_model") / "release.json").read_text(encoding="utf-8"))
        return dg.AssetCheckResult(passed=bool(gate["released"]), metadata=gate)

    return check
