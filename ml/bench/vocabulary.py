"""What the labels can teach of the words of place in real referring expressions, against their first vocabulary.

That is seven relations and six superlatives, as `phrase_text` says them; ours are those and all that `WAYS` says.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ml.bench.measure import Row, result, shares
from ml.errors import UserError
from ml.labeling.geometry.relations import RELATIONS, SUPERLATIVES
from ml.labeling.language.places import places
from ml.labeling.language.ways import WAYS
from ml.labeling.queries.query import Query, phrase_text
from ml.labeling.relevance import Expression, Subject

COLUMNS = ("split", "sent")
DRAWS = 64  # of each place, in which every way to say it comes up
THING, ANCHOR = (Subject(name, name, name) for name in ("{thing}", "{anchor}"))
PEER = "seven relations, six superlatives"


class Word(NamedTuple):
    """A word of place: its place, and whether the labels say it so, in their vocabulary now and in their first."""

    place: str
    now: bool
    before: bool


def bench(path: Path) -> dict[str, Any]:
    """Measure on a CSV of expressions with the columns `split` and `sent`.

    Raises:
        UserError: it is not a file of expressions.
    """
    rows = [row for split, texts in _read(path).items() for row in _split(split, texts)]
    return result("vocabulary", rows)


def old_ways() -> dict[str, set[str]]:
    """Place -> templates of the first vocabulary."""
    rng = np.random.default_rng(0)
    told = {name: Expression(THING, name) for name in SUPERLATIVES}
    told |= {name: Expression(THING, name, ANCHOR) for name in RELATIONS}
    return {
        name: {phrase_text(Query("", 0, expression), rng).removeprefix("the ") for _ in range(DRAWS)}
        for name, expression in told.items()
    }


def words(text: str) -> list[Word]:
    """The words of place of an expression."""
    spans = [(place.name, text[place.start : place.end]) for place in places(text)]
    before, now = _vocabularies()
    return [Word(name, _says(now.get(name, []), span), _says(before.get(name, []), span)) for name, span in spans]


@cache
def _vocabularies() -> tuple[dict[str, list[re.Pattern[str]]], dict[str, list[re.Pattern[str]]]]:
    """Place -> patterns of what is said of it, in the first vocabulary and in the one now."""
    old = old_ways()
    now = {name: {*ways.said, *old.get(name, ())} for name, ways in WAYS.items()}
    return tuple({name: _patterns(said) for name, said in vocabulary.items()} for vocabulary in (old, now))  # type: ignore[return-value]


def _patterns(templates: Iterable[str]) -> list[re.Pattern[str]]:
    """The words of place of templates, whatever they are said of."""
    cores = {_bare(template.partition(" {anchor")[0]).removeprefix("{thing} ") for template in templates}
    inner = sorted(core.removesuffix(" {thing}").replace(" {thing}", r"(?: \w+)*") for core in cores)
    return [re.compile(core) for core in inner]


def _says(patterns: Iterable[re.Pattern[str]], span: str) -> bool:
    return any(pattern.fullmatch(_bare(span.lower().replace("-", " "))) for pattern in patterns)


def _bare(text: str) -> str:
    """Without articles."""
    return re.sub(r"\b(?:the|this)(?: |$)", "", text).strip()


def _read(path: Path) -> dict[str, list[str]]:
    """Split -> expressions."""
    found: dict[str, list[str]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, restval=""):
                split, sent = (row[name] for name in COLUMNS)
                found.setdefault(split, []).append(sent)
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise UserError(f"{path}: not a CSV of expressions with the columns split and sent ({error!r})") from None
    if not found:
        raise UserError(f"{path}: no expressions in it")
    return found


def _split(split: str, texts: list[str]) -> Iterator[Row]:
    """The shares of a split, in percent: of its expressions, of those with words of place, of each place."""
    told = [found for text in texts if (found := words(text))]
    now, before = (sum(all(word[i] for word in found) for found in told) for i in (1, 2))
    taught = sum(all(WAYS[word.place].said for word in found) for found in told)
    told_before = sum(all(word.place in (*RELATIONS, *SUPERLATIVES) for word in found) for found in told)
    yield shares(f"{split}: all in words that are said, of {len(texts)}", now, before, len(texts), PEER)
    yield shares(f"{split}: the same, of {len(told)} with words of place", now, before, len(told), PEER)
    yield shares(f"{split}: in any words for the places, of {len(told)}", taught, told_before, len(told), PEER)
    counts = Counter(word.place for found in told for word in found)
    for place, count in counts.most_common():
        same = [word for found in told for word in found if word.place == place]
        both = sum(word.now for word in same), sum(word.before for word in same)
        yield shares(f"{split}: {place}, {count} times", *both, count, PEER)
