"""`arrcoc ablate`: what each training stage earns."""

from typing import Annotated

import typer

from orchestration.terminal.options import AsJson, Docs, show, workspace


def ablate(
    seeds: Annotated[int, typer.Option(min=1, help="How often each case is trained, from params.seed on.")] = 3,
    as_json: AsJson = False,
    docs: Docs = False,
) -> None:
    """Train and score the line without each of its parts, beside the line with all of them.

    Parts are the training stages before the last, the frozen similarity, and queries of absent things.

    The data stages are shared, and so is what two cases have in common; each case keeps its workspace below
    data/.ablation, so that a run that was cut goes on. The stage left out hands on the model it got.
    """
    from orchestration.freshness.lock import exclusive
    from orchestration.runs import ablation
    from orchestration.terminal import console

    ws, params = workspace()
    with exclusive(ws):
        found = ablation.ablate(ws, params, seeds, console.stderr().print)
    if docs:
        ablation.write_docs(ws, found)
    show(as_json, found, ablation.show)
