"""A small picture of the stages that a model was made from, as SVG: the same stages give the same bytes."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 176, 38  # of a box, in pixels
GAP_X, GAP_Y = 24, 26
STYLE = 'font-family="sans-serif" font-size="12" text-anchor="middle"'


def svg(upstream: Mapping[str, Sequence[str]], labels: Mapping[str, str]) -> str:
    """Boxes from top to bottom, each below all that it reads.

    Args:
        upstream: the stages that each stage reads from, in order: {"mask_index": ["sa1b_shards"], ...}.
        labels: the second line of each box, such as the md5 of what the stage wrote.
    """
    rows = layers(upstream)
    across = max(len(row) for row in rows)
    width, height = across * (WIDTH + GAP_X) + GAP_X, len(rows) * (HEIGHT + GAP_Y) + GAP_Y
    places = {
        name: ((width - len(row) * (WIDTH + GAP_X) + GAP_X) / 2 + x * (WIDTH + GAP_X), GAP_Y + y * (HEIGHT + GAP_Y))
        for y, row in enumerate(rows)
        for x, name in enumerate(row)
    }
    lines = [_arrow(places[above], places[name]) for name, sources in direct(upstream).items() for above in sources]
    boxes = [_box(name, labels[name], *places[name]) for name in upstream]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" {STYLE}>'
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *lines, *boxes, "</svg>", ""])


def layers(upstream: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The stages in rows, each right above the first that reads it; last those that none reads."""
    below = dict.fromkeys(upstream, 0)  # the longest way to an end
    for name in reversed(list(upstream)):
        for above in upstream[name]:
            below[above] = max(below[above], below[name] + 1)
    return [[name for name in upstream if below[name] == row] for row in range(max(below.values()), -1, -1)]


def direct(upstream: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What each stage reads, without what one of the others it reads has read already."""
    reached: dict[str, set[str]] = {}
    for name, sources in upstream.items():
        reached[name] = {*sources, *(far for above in sources for far in reached[above])}
    return {
        name: [above for above in sources if not any(above in reached[other] for other in sources)]
        for name, sources in upstream.items()
    }


def _box(name: str, label: str, x: float, y: float) -> str:
    middle = x + WIDTH / 2
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="#eef3fa" stroke="#6a8bb5"/>'
        f'<text x="{middle:g}" y="{y + 16:g}" font-weight="bold">{escape(name)}</text>'
        f'<text x="{middle:g}" y="{y + 31:g}" fill="#555" font-size="10">{escape(label)}</text>'
    )


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A curve from the foot of one box to the head of another."""
    x1, y1, x2, y2 = start[0] + WIDTH / 2, start[1] + HEIGHT, end[0] + WIDTH / 2, end[1]
    bend = (y1 + y2) / 2
    return f'<path d="M{x1:g} {y1:g}C{x1:g} {bend:g} {x2:g} {bend:g} {x2:g} {y2:g}" fill="none" stroke="#99a"/>'
