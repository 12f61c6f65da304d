"""What the pages ask of a workspace, as JSON and JPEG."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ml.serving.browse import benchmarks, examples, left_out, pictures, tables, training_set
from ml.serving.browse.tables import Row
from ml.workspace import Workspace

Text = Annotated[str, Query(max_length=500)]
Start = Annotated[int, Query(ge=0)]


def router(ws: Workspace) -> APIRouter:
    """The routes of a workspace; each reads what lies there when it is asked."""
    found = APIRouter()
    _training_set(found, ws)
    _left_out(found, ws)
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


def _left_out(found: APIRouter, ws: Workspace) -> None:
    @found.get("/left-out")
    def stages() -> Row:
        return {"stages": left_out.stages(), "shards": tables.shards(ws, "mask_index")}

    @found.get("/left-out/{stage}")
    def page(stage: str, shard: Text = "", reason: Text = "", start: Start = 0) -> Row:
        return left_out.page(ws, stage, shard, reason, start)

    @found.get("/dropped/{shard}/{image_id}")
    def dropped(shard: str, image_id: int) -> Row:
        return left_out.dropped(ws, shard, image_id)


def _benchmarks(found: APIRouter, ws: Workspace) -> None:
    @found.get("/benchmarks")
    def names() -> list[str]:
        return benchmarks.names(ws)

    @found.get("/benchmarks/{name}")
    def page(name: str, split: Text = "", kind: Text = "", start: Start = 0) -> Row:
        return benchmarks.page(ws, name, split, kind, start)

    @found.get("/benchmarks/{name}/question")
    def question(name: str, query_id: Text) -> Row:
        return benchmarks.question(ws, name, query_id)

    @found.get("/examples")
    def shown() -> list[Row]:
        return examples.examples(ws)

    @found.get("/benchmark-picture")
    def picture(image: Text, small: bool = False) -> Response:
        return _jpeg(pictures.of_benchmark(ws, image), small)


def _jpeg(data: bytes, small: bool) -> Response:
    return Response(pictures.small(data) if small else data, media_type="image/jpeg")
