"""`arrcoc run`: run what is stale."""

import json
from typing import Annotated

import typer

from orchestration.terminal.options import AsJson, Select, say, workspace


def run(
    select: Select = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is stale, run nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run every stage that is stale, in order, and show the scores against the milestones.

    A stage is stale when the code it depends on, its params or its input changed (arrcoc status says which). Where the
    rebuilt output is identical, the stages below are left alone. An interrupted run goes on where it stopped.
    """
    from orchestration.runs import watched

    ws, params = workspace()
    if dry_run:
        would = watched.would_run(ws, params, select)
        say(as_json, {"would_run": would}, "\n".join(would) or "Nothing is stale.")
        return
    outcome, code = watched.run(ws, params, select, quiet=as_json)
    if as_json:
        print(json.dumps(outcome))
    raise typer.Exit(code)
