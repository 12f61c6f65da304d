"""`arrcoc export`: the labelled set for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestration.terminal.options import AsJson, say, workspace


def export(
    form: Annotated[Literal["coco", "webdataset"], typer.Argument(help="coco or webdataset.", metavar="FORMAT")],
    out: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")],
    as_json: AsJson = False,
) -> None:
    """Write the labelled set for other programs: COCO's JSON beside its images, or WebDataset's tars.

    coco: annotations/instances_default.json (masks as run lengths, their level as category, phrases as attributes),
    captions_default.json, boxes.json for readers that know no run lengths. webdataset: a JPEG and a JSON a sample.
    """
    from ml.labeling.export.formats import export as write

    found = write(*workspace(), form, out)
    say(as_json, found, f"{found['shards']} shards in {found['folder']}")
