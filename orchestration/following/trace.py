"""`arrcoc trace`: from a score, a run or the model down to the shards, the params and the code it was made from."""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import pyarrow.parquet as pq

from ml.errors import UserError
from ml.params import Params
from ml.workspace import Workspace, stages
from ml.workspace.keys import file_md5
from ml.workspace.lineage import Made
from ml.workspace.snapshot import folder_md5
from ml.workspace.stages import Stage
from orchestration.following import runs
from orchestration.terminal import console

Found = TypeVar("Found")

SHARDS, INDEX = "data/shards", "data/mask_index"
SHORT = 10  # digits of an md5 or id in a table
SHARDS_SHOWN = 8
NO_RUN = "no run of this store made it (data from DVC?): walked by the records beside the data and dvc.lock"
TAGS = ("git_commit", "git_dirty", "dagster_run_id", "dvc_lock_md5")


def trace(ws: Workspace, params: Params, subject: str, verify: bool) -> dict[str, Any]:
    """The object that `arrcoc trace --json` prints.

    Raises:
        UserError: the subject names no run, or what it was made from is nowhere any more.
    """
    found = runs.find(ws, params, subject)
    tags = found.run.data.tags if found.run else {}
    run = {"id": found.id or None, "stage": found.stage, "status": found.run.info.status if found.run else None}
    missing = [] if found.run else [NO_RUN, *_without_record(found)]
    result: dict[str, Any] = {
        "subject": subject,
        "score": runs.metric(ws, subject),
        "run": run | {name: tags.get(name) for name in TAGS},
        "stages": [_stage(name, made, found) for name, made in found.line.items()],
        "shards": _there(lambda: _shards(found), missing) or [],
        "rejects": _there(lambda: _rejects(found), missing) or {},
        "missing": missing,
    }
    return result | ({"verified": verified(ws, found.line)} if verify else {})


def verified(ws: Workspace, line: dict[str, Made]) -> list[dict[str, str]]:
    """Every output and file of code of a line, hashed anew: {"path", "md5", "state": same, differs, absent}.

    An input that is not what the stage above made would break the chain: it counts as `differs`. A stage that dvc.yaml
    no longer has, and an input that it has since, are passed over.
    """
    declared, rows = stages.load(ws), []
    for name, made in line.items():
        if name not in declared:
            continue
        path = declared[name].out
        files = {str(f.relative_to(ws.root / path)): file_md5(f) for f in stages.files_below(ws.root / path)}
        rows.append(_row(path, made["out"], folder_md5(files) if files else None))
        inputs = [(dep, above) for above, dep in _inputs(declared[name], made).items() if above in line]
        broken = [(dep, above) for dep, above in inputs if made["deps"][dep] != line[above]["out"]]
        rows += [_row(f"{dep} as {name} read it", made["deps"][dep], line[above]["out"]) for dep, above in broken]
    code = {file: md5 for made in line.values() for file, md5 in made.get("files", {}).items()}
    now = {file: file_md5(ws.root / file) for file in code if (ws.root / file).is_file()}
    return rows + [_row(file, md5, now.get(file)) for file, md5 in sorted(code.items())]


def show(found: dict[str, Any]) -> None:
    """The trace as tables on stdout."""
    screen, run = console.stdout(), found["run"]
    if found["score"]:
        interval = f" {found['score']['interval']}" if found["score"]["interval"] else ""
        screen.print(f"[bold]{found['score']['name']}[/] {found['score']['value']}{interval}")
    for line in found["missing"]:
        screen.print(f"[yellow]{line}[/]")
    dirty = ", with changes (its artifact dirty.diff)" if run["git_dirty"] == "true" else ""
    if run["id"]:
        screen.print(f"MLflow run {run['id']} of {run['stage']}, commit {run['git_commit']}{dirty}\n")
    rows = [
        [
            stage["name"],
            _cut(stage["run_id"]),
            _cut(stage["out"]),
            ", ".join(stage["inputs"]),
            str(len(stage["params"])),
        ]
        for stage in found["stages"]
    ]
    screen.print(console.table(["stage", "run", "md5", "made from", "params"], rows))
    shards = ", ".join(f"{shard['name']} {_cut(shard['md5'])}" for shard in found["shards"][:SHARDS_SHOWN])
    screen.print(f"\n{len(found['shards'])} shards: {shards}{' ...' if len(found['shards']) > SHARDS_SHOWN else ''}")
    rejects = ", ".join(f"{count} {reason}" for reason, count in found["rejects"].items())
    screen.print(f"rejected masks: {rejects or 'none'}")
    for row in found.get("verified", []):
        if row["state"] != "same":
            screen.print(f"[red]{row['path']} {row['state']}[/]: made as {row['md5']}")
    if "verified" in found:
        same = sum(row["state"] == "same" for row in found["verified"])
        screen.print(f"{same} of {len(found['verified'])} outputs and files of code are byte for byte what was used")


def _there(look: Callable[[], Found], missing: list[str]) -> Found | None:
    """What can be looked up here; where its bytes are not, why goes to `missing`."""
    try:
        return look()
    except UserError as error:
        missing.append(str(error))
        return None


def _without_record(found: runs.Traced) -> list[str]:
    """The stages above of which neither a record nor `dvc.lock` tells what they were made from."""
    names = stages.above(stages.load(found.ws), [found.stage])
    return [
        f"{name}: neither a record nor dvc.lock tells what it was made from" for name in names if name not in found.line
    ]


def _stage(name: str, made: Made, found: runs.Traced) -> dict[str, Any]:
    declared = stages.load(found.ws).get(name)
    return {
        "name": name,
        "run_id": found.makers.get(name),
        "out": made["out"],
        "inputs": {above: made["deps"][path] for above, path in _inputs(declared, made).items()},
        "params": made["params"],
    }


def _inputs(declared: Stage | None, made: Made) -> dict[str, str]:
    """The stages that one read from as far as its run knew them, each with the folder."""
    inputs = zip(declared.upstream, declared.data, strict=True) if declared else ()
    return {above: path for above, path in inputs if path in made["deps"]}


def _shards(found: runs.Traced) -> list[dict[str, str]]:
    if "sa1b_shards" not in found.line:
        return []
    listing = runs.listing(found.ws, SHARDS, found.line["sa1b_shards"]["out"])
    return [{"name": name, "md5": md5} for name, md5 in sorted(listing.items())]


def _rejects(found: runs.Traced) -> dict[str, int]:
    """How many masks were rejected before training, by reason."""
    if "mask_index" not in found.line:
        return {}
    reasons: Counter[str] = Counter()
    for name, path in runs.files(found.ws, INDEX, found.line["mask_index"]["out"]).items():
        if name.endswith(".rejects.parquet"):
            reasons.update(pq.read_table(path, columns=["reason"])["reason"].to_pylist())
    return dict(reasons.most_common())


def _row(path: str, wanted: str, is_now: str | None) -> dict[str, str]:
    state = "absent" if is_now is None else "same" if is_now == wanted else "differs"
    return {"path": path, "md5": wanted, "state": state}


def _cut(text: str | None) -> str:
    return (text or "")[:SHORT]
