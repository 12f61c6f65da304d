"""`arrcoc predict --server URL`: the same answer and picture, from a server."""

import os
from pathlib import Path
from typing import Any

import requests

from ml.errors import UserError, cut
from ml.release.predict import drawn, judged, place, read_image
from ml.serving.limits import KEY

SECONDS = 120.0  # that a server is waited for


def predict(server: str, image: Path, query: str, out: Path | None = None) -> dict[str, Any]:
    """Ask a server for a query on an image file; write the overlay and name it under "overlay".

    Raises:
        UserError: the image cannot be read, the query is empty, `out` is a folder, or the server refuses or is away.
    """
    asked, target = judged(query), place(out or Path("predictions") / f"{image.stem}.png")
    pixels = read_image(image)
    return drawn(pixels, _ask(server.rstrip("/"), image.read_bytes(), asked), target)


def _ask(server: str, image: bytes, query: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get(KEY)) else {}
    form: dict[str, Any] = {"files": {"image": image}, "data": {"query": query}, "headers": headers}
    try:
        told = requests.post(f"{server}/v1/ask", timeout=SECONDS, **form)
        answer = told.json()
    except (requests.RequestException, ValueError) as error:
        raise UserError(
            f"--server: {server} does not answer ({cut(str(error), 160)}); start it: arrcoc serve"
        ) from error
    if not told.ok:
        raise UserError(f"--server: {server} refuses with {told.status_code}: {answer.get('error', answer)}")
    return dict(answer["answers"][0])
