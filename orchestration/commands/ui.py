"""`arrcoc ui`: the pages of Dagster, of MLflow and of the data."""

from typing import Annotated

import typer

from orchestration.terminal.options import workspace


def ui(
    host: Annotated[str, typer.Option(help="Address to bind to; the default is for this machine only.")] = "127.0.0.1",
    dagster_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Dagster page.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the MLflow page.")] = 5000,
    browse_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page of the data.")] = 8001,
) -> None:
    """Open the pages: the lineage of stages in Dagster, the runs and models in MLflow, the data. Ctrl-C stops all."""
    from orchestration.pages.servers import Ports, serve

    ws, params = workspace()
    serve(ws, params, host, Ports(dagster_port, mlflow_port, browse_port))
