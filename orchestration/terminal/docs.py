"""The tables of scores in README.md and docs/benchmarks.md, written from `scores.json` between marks.

A mark is a pair of comments: `<!-- scores -->` and `<!-- /scores -->`; what stands between them belongs to the command.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ml.errors import UserError
from ml.evaluation.pages import tables
from ml.workspace import Workspace
from ml.workspace.atomic import atomic_path
from orchestration import results


def write_scores(ws: Workspace) -> list[Path]:
    """Write the tables of the last evaluation; the files.

    Raises:
        UserError: there are no scores, or a file has no marks.
    """
    found = results.scores(ws)
    readme, benchmarks = ws.root / "README.md", ws.root / "docs" / "benchmarks.md"
    write(readme, "scores", table(tables.summary(found)))
    shown = (tables.referring, tables.others, tables.referring_kinds, tables.other_kinds)
    write(benchmarks, "scores", "\n\n".join(table(rows) for rows in (show(found) for show in shown) if rows))
    return [readme, benchmarks]


def write(path: Path, name: str, text: str) -> None:
    """Put `text` between the marks `name` of a Markdown file.

    Raises:
        UserError: the file is missing, or has no such marks.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    try:
        before, between, rest = path.read_text(encoding="utf-8").partition(begin)
    except OSError as error:
        raise UserError(f"{path}: not readable: {error.strerror}; tables are written into a checkout") from error
    _, closed, after = rest.partition(end)
    if not between or not closed:
        raise UserError(f"{path}: no {begin.strip()} before a {end}; put both where the table shall stand")
    with atomic_path(path) as tmp:
        tmp.write_text(f"{before}{begin}{text}\n{end}{after}", encoding="utf-8")


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table of rows with the same columns."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
