"""A request as a client sends it, and what is refused before it reaches a model."""

import io
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from fastapi import File, Form, HTTPException, UploadFile
from PIL import Image

from ml.serving.limits import Limits

Kind = Literal["find", "caption", "question"]
FORMATS = ("JPEG", "PNG")


@dataclass(frozen=True)
class Asked:
    """What is asked of a picture.

    Attributes:
        image: bytes of a JPEG or PNG.
        queries: what to find, or questions; none for a caption.
        heat_map: whether the heat map comes along, as PNG.
    """

    image: bytes
    kind: Kind
    queries: tuple[str, ...]
    heat_map: bool

    @classmethod
    def of(cls, image: bytes, kind: Kind, queries: list[str], heat_map: bool, limits: Limits) -> Self:
        """Judge a request.

        Raises:
            HTTPException: 422 or 413, with the reason in one line.
        """
        _judge_image(image, limits)
        asked = tuple(" ".join(query.split()) for query in queries)
        if kind != "caption":
            _judge_queries(asked, limits)
        return cls(image, kind, asked, heat_map)


def form(kind: Kind, limits: Limits):  # type: ignore[no-untyped-def]
    """The dependency that reads a multipart form of a kind of request."""

    async def words(
        image: Annotated[UploadFile, File(description="A JPEG or PNG.")],
        query: Annotated[list[str], Form(description="What to find, or a question; may be repeated.")],
        heat_map: Annotated[bool, Form(description="Whether each answer brings its heat map, PNG in base64.")] = False,
    ) -> Asked:
        return Asked.of(await image.read(), kind, query, heat_map, limits)

    async def picture(image: Annotated[UploadFile, File(description="A JPEG or PNG.")]) -> Asked:
        return Asked.of(await image.read(), kind, [], False, limits)

    return picture if kind == "caption" else words


def _judge_image(data: bytes, limits: Limits) -> None:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise HTTPException(422, f"image: no JPEG or PNG ({len(data)} bytes)") from error
    if width * height > limits.pixels:
        raise HTTPException(413, f"image: {width} x {height} pixels; at most {limits.pixels:,}: make it smaller")


def _judge_queries(queries: tuple[str, ...], limits: Limits) -> None:
    if not 1 <= len(queries) <= limits.queries:
        raise HTTPException(422, f"query: {len(queries)} of them; from 1 to {limits.queries}")
    for query in queries:
        if not 1 <= len(query) <= limits.letters:
            raise HTTPException(422, f"query: {len(query)} letters; from 1 to {limits.letters}")
