"""What the pages ask of a workspace, as JSON and JPEG."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ml.serving.browse import examples, pictures, tables, training_set
from ml.serving.browse.tables import Row
from ml.workspace import Workspace

Text = Annotated[str, Query(max_length=500)]
Start = Annotated[int, Query(ge=0)]


def router(ws: Workspace) -> APIRouter:
    """The routes of a workspace; each reads what lies there when it is asked."""
    found = APIRouter()
    _training_set(found, ws)
    _benchmarks(found, ws)
    return found


def _training_set(found: APIRouter, ws: Workspace) -> None:
    @found.get("/training-set")
    def shards() -> list[str]:
        return tables.shards(ws, training_set.STAGE)

    @found.get("/training-set/{shard}")
    def page(shard: str, level: Text = "", kind: Text = "", start: Start = 0) -> Row:
        return training_set.page(ws, shard, level, kind, start)

    @found.get("/training-set/{shard}/{image_id}")
    def picture(shard: str, image_id: int) -> Row:
        return training_set.picture(ws, shard, image_id)

    @found.get("/shard-picture/{shard}/{image_id}")
    def jpeg(shard: str, image_id: int, small: bool = False) -> Response:
        return _jpeg(pictures.of_shard(ws, shard, image_id), small)


def _benchmarks(found: APIRouter, ws: Workspace) -> None:
    @found.get("/examples")
    def shown() -> list[Row]:
        return examples.examples(ws)

    @found.get("/benchmark-picture")
    def picture(image: Text, small: bool = False) -> Response:
        return _jpeg(pictures.of_benchmark(ws, image), small)


def _jpeg(data: bytes, small: bool) -> Response:
    return Response(pictures.small(data) if small else data, media_type="image/jpeg")
