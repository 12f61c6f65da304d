"""`arrcoc trace`: from a number back to the bytes."""

from typing import Annotated

import typer

from orchestration.terminal.options import AsJson, show, workspace


def trace(
    subject: Annotated[str, typer.Argument(help="A score (refcoco/val/acc@0.5), an MLflow run id, or: model.")],
    verify: Annotated[bool, typer.Option("--verify", help="Hash everything that is there again, and compare.")] = False,
    as_json: AsJson = False,
) -> None:
    """Walk from a score, a run or the released model to what it was made from: runs, params, code, shards, rejects.

    With --verify the exit code is 1 where bytes that are there are not the bytes that were used.
    """
    from orchestration.following import trace as following

    ws, params = workspace()
    found = following.trace(ws, params, subject, verify)
    show(as_json, found, following.show)
    raise typer.Exit(1 if any(row["state"] == "differs" for row in found.get("verified", [])) else 0)
