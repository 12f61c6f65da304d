"""`arrcoc ...`: every command a user types. Each imports what it needs late, so that `--help` is there at once."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml.errors import NO_SPACE, UserError, disk_is_full

if TYPE_CHECKING:
    from ml.params import Params
    from ml.workspace import Workspace

# Nothing leaves the machine unless asked to; each is read when its library is imported.
OFFLINE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DVC_NO_ANALYTICS": "1",
}

app = typer.Typer(
    help="ARR-COC: SA-1B shards in, a released text-conditioned spatial-relevance model out.\n\n"
    "Start with `arrcoc run`: it runs every stage whose code, params or input changed, and shows the scores. "
    "The knobs are in params.yaml, the stages in dvc.yaml.",
    epilog="Exit codes: 0 done, 1 a gate or milestone failed, 2 the input or the environment is wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # half the time of --help
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout, and nothing else there.")]
Docs = Annotated[bool, typer.Option("--docs", help="Also write the tables into the docs, between their marks.")]
Select = Annotated[
    str | None,
    typer.Option(
        help="Only these stages: names with commas, or Dagster's selection syntax: "
        "'+benchmark_scores' (it and all above), 'filtered_masks+' (it and all below), 'group:training'."
    ),
]


@app.command()
def run(
    select: Select = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is stale, run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run every stage that is stale, in order, and show the scores against the milestones.

    A stage is stale when the code it depends on, its params or its input changed (arrcoc status says which). Where the
    rebuilt output is identical, the stages below are left alone. An interrupted run goes on where it stopped.
    """
    from ml.commands import run as commands

    ws, params = _workspace()
    if dry_run:
        would = commands.would_run(ws, params, select)
        _print(as_json, {"would_run": would}, "\n".join(would) or "Nothing is stale.")
        return
    outcome, code = commands.run(ws, params, select, quiet=as_json)
    if as_json:
        print(json.dumps(outcome))
    raise typer.Exit(code)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show which stages are fresh, stale or missing, and why."""
    from ml.commands import run as commands

    ws, params = _workspace()
    states = commands.status(ws, params)
    if as_json:
        print(json.dumps({"stages": [state.to_json() for state in states]}))
    else:
        commands.print_status(states)


@app.command()
def stage(
    name: Annotated[str, typer.Argument(help="A stage of dvc.yaml, for example mask_index.")],
    shard: Annotated[str | None, typer.Option(help="One shard or group, for example sa_000003.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run one stage without Dagster, as `dvc repro` does; shards whose output is current are skipped."""
    from ml import pipeline, stages
    from orchestration.lock import exclusive
    from orchestration.staleness import recorded

    ws, params = _workspace()
    stages.stage(ws, name)
    with exclusive(ws), recorded(name, ws, params):
        report = pipeline.run(name, ws, params, shard)
    numbers = "\n".join(f"{key}: {value}" for key, value in report.numbers.items())
    result = {"stage": name, "skipped": report.skipped, "numbers": report.numbers, "rejected": report.rejected}
    _print(as_json, result, f"{name}: nothing to do" if report.skipped else numbers)


@app.command()
def report(as_json: AsJson = False, docs: Docs = False) -> None:
    """Print the scores, the milestones, and the MLflow runs they come from."""
    from ml import results
    from ml.commands import console

    ws, params = _workspace()
    found = results.report(ws, params)
    if docs:
        from ml.commands.docs import write_scores

        write_scores(ws)
    if as_json:
        print(json.dumps(found))
        return
    screen = console.stdout()
    screen.print(console.score_table(found["scores"]), "", console.milestone_table(found["milestones"]), "", sep="\n")
    screen.print("\n".join(f"{name} [dim]MLflow run {run}[/]" for name, run in found["run_ids"].items()))


@app.command()
def trace(
    subject: Annotated[str, typer.Argument(help="A score (refcoco/val/acc@0.5), an MLflow run id, or: model.")],
    verify: Annotated[bool, typer.Option("--verify", help="Hash everything that is there again, and compare.")] = False,
    as_json: AsJson = False,
) -> None:
    """Walk from a score, a run or the released model to what it was made from: runs, params, code, shards, rejects.

    With --verify the exit code is 1 where bytes that are there are not the bytes that were used.
    """
    from ml.commands import trace as commands

    ws, params = _workspace()
    found = commands.trace(ws, params, subject, verify)
    _show(as_json, found, commands.show)
    raise typer.Exit(1 if any(row["state"] == "differs" for row in found.get("verified", [])) else 0)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="An MLflow run id (its beginning is enough), a score, or: model.")],
    b: Annotated[str, typer.Argument(help="Another run of the same stage.")],
    as_json: AsJson = False,
) -> None:
    """Compare two runs: the knobs and code that differ, the scores with their differences, the stages they share.

    Where both answered the same benchmark, a difference stands with its 95% interval (paired bootstrap over images).
    """
    from ml.commands import compare as commands

    ws, params = _workspace()
    found = commands.compare(ws, params, a, b)
    _show(as_json, found, commands.show)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to bind to; the default is for this machine only.")] = "127.0.0.1",
    dagster_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Dagster page.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the MLflow page.")] = 5000,
) -> None:
    """Open the pages: the lineage of stages in Dagster, the runs and models in MLflow. Ctrl-C stops both."""
    from ml.commands.servers import serve

    ws, params = _workspace()
    serve(ws, params, host, dagster_port, mlflow_port)


@app.command()
def score(
    predictions: Annotated[
        Path, typer.Argument(help="Parquet or JSONL: query_id, boxes (xywh), scores, counts, or text.")
    ],
    benchmark: Annotated[
        str, typer.Argument(help="A file of data/benchmark_data/queries: refcoco, flickr30k, lvis, vqa, ...")
    ],
    as_json: AsJson = False,
) -> None:
    """Score the predictions of any model on a benchmark that the stage benchmark_data has indexed.

    A row answers a question of data/benchmark_data/queries; one that is not answered counts as wrong.
    """
    from ml.commands import console
    from ml.evaluation.foreign import score_file

    ws, params = _workspace()
    found = score_file(ws.stage("benchmark_data"), predictions, benchmark, params.milestones, params.seed)
    print(json.dumps(found)) if as_json else console.stdout().print(console.score_table(found["scores"]))


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="masks, index, filter, evaluation, loader or freshness.")],
    paths: Annotated[list[Path] | None, typer.Argument(help="Files to measure on, if it takes any.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what is claimed to be fast against a named peer, in one run; docs/benchmarks.md records it."""
    from ml.commands.bench import measure, print_table

    found = measure(name, paths or [])
    _show(as_json, found, print_table)


@app.command()
def scale(
    pair: Annotated[Path | None, typer.Argument(help="A JSON of SA-1B, its JPEG beside it, to measure on.")] = None,
    inputs: Annotated[Path | None, typer.Option(help="Your prices and speeds; copy ml/bench/scale.yaml.")] = None,
    as_json: AsJson = False,
) -> None:
    """Work out what all of SA-1B takes: bytes, core-hours, GPU-hours, hours and money on 8 GPUs and on a cluster.

    Rates are measured here, or are inputs with a source; the workspace must hold a finished training set. A minute.
    """
    from ml.bench.scale import scale as plan
    from ml.commands.scale import show

    ws, _ = _workspace()
    _show(as_json, plan(ws, pair, inputs), show)


@app.command()
def ablate(
    seeds: Annotated[int, typer.Option(min=1, help="How often each case is trained, from params.seed on.")] = 3,
    as_json: AsJson = False,
    docs: Docs = False,
) -> None:
    """Train and score the line without each training stage before the last, beside the line with all of them.

    The data stages are shared, and so is what two cases have in common; each case keeps its workspace below
    data/.ablation, so that a run that was cut goes on. The stage left out hands on the model it got.
    """
    from ml.commands import ablate as commands
    from ml.commands import console
    from orchestration.lock import exclusive

    ws, params = _workspace()
    with exclusive(ws):
        found = commands.ablate(ws, params, seeds, console.stderr().print)
    if docs:
        commands.write_docs(ws, found)
    _show(as_json, found, commands.show)


@app.command()
def params(
    preset: Annotated[str | None, typer.Option(help="Print a preset: toytown, smoke or sa1b.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the preset into params.yaml.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say whether params.yaml is valid.")] = False,
) -> None:
    """Print or check params.yaml, or start again from a preset."""
    from ml.commands.params import preset_text, write_preset

    if preset is None:
        ws, _ = _workspace()
        print(f"{ws.params_file}: valid" if check else ws.params_file.read_text(encoding="utf-8").rstrip())
    elif write:
        print(f"wrote {write_preset(preset)}")
    else:
        print(preset_text(preset).rstrip())


@app.command()
def pretrain_backbones(
    out: Annotated[Path, typer.Option(help="Folder for the weights; what it holds is replaced.")] = Path(
        "ml/toytown/weights"
    ),
    seed: Annotated[int, typer.Option(help="Of the scenes and of the weights.")] = 0,
    scenes: Annotated[int, typer.Option(help="How many are drawn; no split used later has them.")] = 2400,
    sam_steps: Annotated[int, typer.Option(help="Steps of SAM, half a second each.")] = 7000,
    coca_steps: Annotated[int, typer.Option(help="Steps of CoCa, a second each.")] = 900,
) -> None:
    """Pretrain toytown's tiny SAM and CoCa again, from scratch on two cores (an hour), and measure them."""
    from ml.toytown.pretrain import pretrain

    pretrain(out, seed, scenes, sam_steps, coca_steps)


@app.command()
def predict(
    image: Annotated[Path, typer.Argument(help="A JPEG or PNG file.")],
    query: Annotated[str, typer.Argument(help="What to look for: 'the red car left of the house'.")],
    out: Annotated[Path | None, typer.Option(help="Where the picture goes; default predictions/IMAGE.png.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the released model what in an image a text means; draws heat map, ranked masks by level, and box."""
    from ml.release.predict import predict as answer
    from ml.workspace import Workspace

    found = answer(Workspace.find(), image, query, out)
    best = f"score {found['score']:.2f}, box {found['box']}, {len(found['masks'])} masks\n{found['overlay']}"
    _print(as_json, found, best)


def main() -> None:
    """Run a command; what the user can act on is one line and exit code 2, never a stack trace."""
    os.environ.update({name: value for name, value in OFFLINE.items() if name not in os.environ})
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except Exception as error:
        if not disk_is_full(str(error)):
            raise
        _fail(NO_SPACE)


def _workspace() -> "tuple[Workspace, Params]":
    from ml.params import load
    from ml.workspace import Workspace

    ws = Workspace.find()
    return ws, load(ws.params_file)


def _print(as_json: bool, value: dict[str, Any], text: str) -> None:
    print(json.dumps(value) if as_json else text)


def _show(as_json: bool, found: dict[str, Any], show: Callable[[dict[str, Any]], None]) -> None:
    print(json.dumps(found)) if as_json else show(found)


def _fail(message: str) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": message}))
    print(f"arrcoc: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
