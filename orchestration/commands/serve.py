"""`arrcoc serve`: the released model behind HTTP."""

from pathlib import Path
from typing import Annotated

import typer

HOSTS = ("127.0.0.1", "0.0.0.0", "::")  # that LitServe takes


def serve(
    package: Annotated[
        Path | None, typer.Option(help="A released folder; default that of the workspace around the current folder.")
    ] = None,
    host: Annotated[str, typer.Option(help="127.0.0.1, for this machine only, 0.0.0.0 or ::.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Port of the server.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer; each holds the model.")] = 1,
) -> None:
    """Serve the released model: POST /v1/ask, /v1/caption, /v1/question; /docs tells of them. Ctrl-C stops it.

    In a workspace the version is served that the registry's alias names, wherever it moves, and /browse shows the
    training set and the benchmarks. An API key is asked for where ARRCOC_API_KEY is set. Where RAY_ADDRESS names
    a Ray cluster, the workers are replicas on it.
    """
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # onnxruntime has the cores; others would take them from it
    from ml.errors import UserError
    from ml.serving.champion import followed
    from ml.serving.limits import Limits
    from ml.workspace import Workspace

    if os.environ.get("RAY_ADDRESS"):
        from ml.serving.cluster import serve
    else:
        from ml.serving.server import serve
    if host not in HOSTS:
        raise UserError(f"--host: {host!r}; one of {', '.join(HOSTS)}")
    if package:
        serve(package, host, port, workers, Limits())
    else:
        ws = Workspace.find()
        serve(followed(ws), host, port, workers, Limits(), ws)
