"""`arrcoc golden`: whether the scores lie within the spread of those kept in the repository."""

from typing import Annotated

import typer

from orchestration.terminal.options import AsJson, show, workspace


def golden(
    seeds: Annotated[
        int | None, typer.Option(min=2, help="Train this many seeds, from params.seed on, and keep their scores.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the scores with the golden ones in docs/golden.json: is this the same science, or has it changed?

    Each score has an interval in which one more seed falls 19 times in 20, from those that were trained. Below it, and
    above it, are both told, and the exit code is 1: a change for the better wants new golden scores in the same commit.

    With --seeds they are measured anew, as arrcoc ablate trains its seeds: on the data of this workspace, each seed in
    a workspace below data/.ablation, so that what was cut goes on.
    """
    from orchestration.freshness.lock import exclusive
    from orchestration.runs import golden as kept
    from orchestration.terminal import console

    ws, params = workspace()
    if seeds is not None:
        with exclusive(ws):
            kept.write(ws, kept.measure(ws, params, seeds, console.stderr().print))
    found = kept.compare(ws, params)
    show(as_json, found, kept.show)
    if found["outside"]:
        raise typer.Exit(1)
