"""`arrcoc predict`: ask the released model."""

from pathlib import Path
from typing import Annotated

import typer

from orchestration.terminal.options import AsJson, say


def predict(
    image: Annotated[Path, typer.Argument(help="A JPEG or PNG file.")],
    query: Annotated[str, typer.Argument(help="What to look for: 'the red car left of the house'.")],
    out: Annotated[Path | None, typer.Option(help="Where the picture goes; default predictions/IMAGE.png.")] = None,
    server: Annotated[str | None, typer.Option(help="Ask a server, http://HOST:PORT, and not this workspace.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the released model what in an image a text means; draws heat map, ranked masks by level, and box."""
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # onnxruntime has the cores
    from ml.release.predict import predict as answer
    from ml.release.runtime.pictures import verdict
    from ml.workspace import Workspace

    if server:
        from ml.serving import client

        found = client.predict(server, image, query, out)
    else:
        found = answer(Workspace.find(), image, query, out)
    best = f"score {found['score']:.2f}, box {found['box']}, {len(found['masks'])} masks"
    say(as_json, found, f"{verdict(found)} {best}\n{found['overlay']}")
