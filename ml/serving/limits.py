"""Who may ask, and how much."""

from dataclasses import dataclass

KEY = "ARRCOC_API_KEY"  # of the environment


@dataclass(frozen=True)
class Limits:
    """Beyond these a request is refused: body and pixels with 413, queries with 422, the queue with 429, time with 504.

    Attributes:
        body: bytes of a request.
        pixels: of a picture, as its header tells them.
        queries: of a request.
        letters: of a query.
        waiting: requests at work or in the queue.
        seconds: until a request is answered.
        pictures: that a worker keeps encoded.
    """

    body: int = 32 << 20
    pixels: int = 50_000_000
    queries: int = 32
    letters: int = 500
    waiting: int = 64
    seconds: float = 60.0
    pictures: int = 64
