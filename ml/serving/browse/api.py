"""What the pages ask of a workspace, as JSON and JPEG."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ml.serving.browse import examples, pictures
from ml.serving.browse.tables import Row
from ml.workspace import Workspace

Text = Annotated[str, Query(max_length=500)]
Start = Annotated[int, Query(ge=0)]


def router(ws: Workspace) -> APIRouter:
    """The routes of a workspace; each reads what lies there when it is asked."""
    found = APIRouter()
    _examples(found, ws)
    return found


def _examples(found: APIRouter, ws: Workspace) -> None:
    @found.get("/examples")
    def shown() -> list[Row]:
        return examples.examples(ws)

    @found.get("/benchmark-picture")
    def picture(image: Text, small: bool = False) -> Response:
        return _jpeg(pictures.of_benchmark(ws, image), small)


def _jpeg(data: bytes, small: bool) -> Response:
    return Response(pictures.small(data) if small else data, media_type="image/jpeg")
