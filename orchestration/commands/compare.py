"""`arrcoc compare`: two runs side by side."""

from typing import Annotated

import typer

from orchestration.terminal.options import AsJson, show, workspace


def compare(
    a: Annotated[str, typer.Argument(help="An MLflow run id (its beginning is enough), a score, or: model.")],
    b: Annotated[str, typer.Argument(help="Another run of the same stage.")],
    everything: Annotated[bool, typer.Option("--all", help="Every score, not the headlines alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two runs: the knobs and code that differ, the headline scores with their differences, what they share.

    Where both answered the same benchmark, a difference stands with its 95% interval (paired bootstrap over images).
    """
    from orchestration.following import compare as following

    ws, params = workspace()
    found = following.compare(ws, params, a, b)
    show(as_json, found, lambda found: following.show(found, everything))
