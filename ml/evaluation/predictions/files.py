"""The files that predictions are kept in, `<benchmark>.parquet`: a row a question, read by query_id.

Rows come by image, in the images' order, and of one image as they were asked. Of questions to masks and regions: boxes
(xywh, pixels), counts (COCO RLE), scores, relevance, grounding, levels of the best masks, best first; and of the
grounding map its region (map_box, map_counts) and its peak (point x, y), which LVIS and relevance lack. For the
relevance benchmark, whose masks are given: relevance and levels of those masks. For captions and VQA: text.
`proposals.parquet` keeps all proposed masks, a row an image.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.evaluation.predictions.plan import SPOKEN
from ml.workspace.atomic import atomic_path

ROW_GROUP = 16 * 2**20  # bytes of a file that are held back before they are written

Row = dict[str, Any]
Tables = dict[str, pa.Table]  # by the name of the file
FLOATS, TEXTS = pa.list_(pa.float32()), pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("image", pa.string()),
        ("boxes", pa.list_(FLOATS)),
        ("counts", TEXTS),
        ("scores", FLOATS),
        ("relevance", FLOATS),
        ("grounding", FLOATS),
        ("levels", TEXTS),
        ("map_box", FLOATS),
        ("map_counts", pa.string()),
        ("point", FLOATS),
    ]
)
SAID = pa.schema([(name, pa.string()) for name in ("query_id", "image", "text")])
PROPOSALS = pa.schema(
    [
        ("image", pa.string()),
        ("boxes", pa.list_(FLOATS)),
        ("counts", TEXTS),
        ("predicted_ious", FLOATS),
        ("stability_scores", FLOATS),
    ]
)


def read(path: Path) -> dict[str, Row]:
    """The rows of a predictions file by query_id."""
    return {row["query_id"]: row for row in pq.read_table(path).to_pylist()}


def as_tables(rows: dict[str, list[Row]]) -> Tables:
    """Rows of some files, by name, as Arrow tables; a column that a row lacks is null."""
    schemas = {"proposals": PROPOSALS} | dict.fromkeys(SPOKEN, SAID)
    return {name: pa.Table.from_pylist(found, schemas.get(name, SCHEMA)) for name, found in rows.items()}


@contextmanager
def prediction_files(out: Path) -> Iterator[Callable[[Tables], None]]:
    """Yield what appends tables to the files in `out`; they take their place when the block ends without an error."""
    with ExitStack() as stack:
        files: dict[str, _Growing] = {}

        def append(tables: Tables) -> None:
            for name, table in tables.items():
                if name not in files:
                    tmp = stack.enter_context(atomic_path(out / f"{name}.parquet"))
                    files[name] = stack.enter_context(_Growing(tmp, table.schema))
                files[name].append(table)

        yield append


class _Growing:
    """A Parquet file that is written a row group at a time, however small the tables are that come."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = pq.ParquetWriter(path, schema, compression="zstd")
        self._held: list[pa.Table] = []
        self._bytes = 0

    def append(self, table: pa.Table) -> None:
        self._held.append(table)
        self._bytes += table.nbytes
        if self._bytes >= ROW_GROUP:
            self._flush()

    def __enter__(self) -> "_Growing":
        return self

    def __exit__(self, *exc: object) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._held:
            self._file.write_table(pa.concat_tables(self._held))
            self._held, self._bytes = [], 0
