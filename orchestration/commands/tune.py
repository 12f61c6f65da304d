"""`arrcoc tune`: a search for better params."""

from typing import Annotated

import typer

from orchestration.terminal.options import AsJson, Docs, show, workspace


def tune(
    search: Annotated[
        list[str],
        typer.Argument(help="Params: relevance_learning.lr=1e-3..1e-2:log training.absent=0.1..0.4 model.heads=2,4"),
    ],
    score: Annotated[
        str, typer.Option(help="What to go for: a benchmark's split and metric, as arrcoc report names them.")
    ] = "refcoco/val/acc@0.5",
    trials: Annotated[int, typer.Option(min=1, help="How many in all, those of calls before counted.")] = 20,
    hours: Annotated[float, typer.Option(min=0.0, help="Begin no trial after so many hours of this call.")] = 1.0,
    name: Annotated[str, typer.Option(help="The study's name; the same name goes on with it.")] = "study",
    as_json: AsJson = False,
    docs: Docs = False,
) -> None:
    """Search params of training and evaluation for a better score (Optuna's TPE).

    The data stages are shared by all trials, and a trial makes only the stages that its params change: search late
    stages, and a trial takes a minute. One that is worse than most after a training stage is given up. The first trial
    has the params as they are, so that a winner is one beside them. Interrupted, it goes on where it was.

    MLflow has a run of the study in experiment NAME-tune, a nested one a trial, and the picture. Choose on val, and
    compare the winner on the other splits: what one seed gains by a point or two is mostly luck (arrcoc golden).
    """
    from orchestration.freshness.lock import exclusive
    from orchestration.terminal import console
    from orchestration.tuning import picture, shown, space, study, tracked

    ws, params = workspace()
    asked = study.Asked(name, score, space.parse(ws, params, search))
    with exclusive(ws):
        found = study.opened(ws, params, asked)
        try:
            study.go_on(ws, params, asked, found, trials, hours, console.stderr().print)
        finally:
            tracked.record(ws, params, found, drawing := picture.drawn(found))
    result = shown.found(found)
    if docs:
        shown.write_docs(ws, result, drawing)
    show(as_json, result, shown.show)
