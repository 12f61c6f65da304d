"""What commands share: their common options, the workspace around the current folder, one JSON object or a page."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ml.params import Params
    from ml.workspace import Workspace

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout, and nothing else there.")]
Docs = Annotated[bool, typer.Option("--docs", help="Also write the tables into the docs, between their marks.")]
Select = Annotated[
    str | None,
    typer.Option(
        help="Only these stages: names with commas, or Dagster's selection syntax: "
        "'+benchmark_scores' (it and all above), 'filtered_masks+' (it and all below), 'group:training'."
    ),
]


def workspace() -> "tuple[Workspace, Params]":
    """The workspace around the current folder, and its params.

    Raises:
        UserError: there is none, or its params are wrong.
    """
    from ml.workspace import Workspace
    from ml.workspace.settings import load

    ws = Workspace.find()
    return ws, load(ws.params_file)


def say(as_json: bool, value: dict[str, Any], text: str) -> None:
    """Print an object, or what a person reads instead."""
    print(json.dumps(value) if as_json else text)


def show(as_json: bool, found: dict[str, Any], page: Callable[[dict[str, Any]], None]) -> None:
    """Print an object, or call what shows it to a person."""
    print(json.dumps(found)) if as_json else page(found)
