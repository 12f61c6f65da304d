"""How well captions are read: the things that people marked in the sentences of Flickr30k Entities.

A marked phrase asks for its last word, on either side of "of", in the singular; pronouns, bare determiners and numbers,
and a colour that is worn ("a woman in black"), ask for nothing. A noun that is found is right where it stands in some
marked phrase; a colour, where it is told of the right noun.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.bench.measure import Row, in_turns, rates, result
from ml.errors import UserError
from ml.evaluation.benchmarks.flickr30k import PHRASE
from ml.labeling.language.english import BATCH, SMALL, English, plain
from ml.labeling.language.phrases import Phrase
from ml.labeling.language.words import COLORS, listed, number, singular
from ml.sa1b.reading.values import read_lines

if TYPE_CHECKING:
    from spacy.language import Language

PEER = "spaCy's noun chunks"
NOT_ASKED = listed(
    "he she it they him her them his hers its their theirs himself herself itself themselves we us you i me who whom "
    "which that this these those some all both each many few several other others another one ones any none most "
    "someone something everyone everybody everything nobody somebody anyone anything nothing what there"
)
WORN = listed("in wearing and of with")  # before a colour that names no thing
FIVE_WORDS = ("a man on a horse", "two dogs in the grass", "a car near the house", "people sit at a table")
CAPTIONS = 2048  # in the measurement of speed


@dataclass(frozen=True)
class Marked:
    """A marked phrase: its words, the heads that it may be found by, and its colours."""

    words: frozenset[str]
    heads: frozenset[str]
    colors: frozenset[str]
    asked: bool


@dataclass(frozen=True)
class Found:
    """A thing that a reader found: its noun in the singular, and the words told of it."""

    noun: str
    told: frozenset[str]


Sentence = tuple[str, list[Marked]]


def bench(folder: Path) -> dict[str, Any]:
    """Measure on the `*.txt` of a folder, in percent, and in captions a second.

    Raises:
        UserError: there are no marked sentences, or a file is not readable as UTF-8.
    """
    sentences = [sentence for path in sorted(folder.rglob("*.txt")) for sentence in _sentences(path)]
    if not any(marked for _, marked in sentences):
        raise UserError(f"{folder}: no sentences with marked phrases ([/EN#1/people A man]); name a folder of *.txt")
    ours, peer = English.spacy(SMALL), _peer()
    texts = [text for text, _ in sentences]
    mine, theirs = _scores(sentences, _ours(ours, texts)), _scores(sentences, _chunks(peer, texts))
    rows = [rates(case, mine[case], theirs[case], PEER, "%") for case in mine]
    return result("phrases", [*rows, _speed(peer)])


def _sentences(path: Path) -> Iterator[Sentence]:
    for line in read_lines(path):
        if line.strip():
            text = PHRASE.sub(lambda mark: mark[3], line)
            before = [line[: mark.start()].split() for mark in PHRASE.finditer(line)]
            marks = PHRASE.finditer(line)
            yield text, [_marked(m[3], words[-1:] or [""]) for m, words in zip(marks, before, strict=True)]


def _marked(phrase: str, before: list[str]) -> Marked:
    words = phrase.lower().split()
    parts = " ".join(words).split(" of ")
    last, alone = words[-1], len(words) == 1
    worn = last in COLORS and (alone or before[0].lower() in WORN)
    return Marked(
        words=frozenset(map(singular, words)),
        heads=frozenset(singular(part.split()[-1]) for part in parts if part.split()),
        colors=COLORS.intersection(words[:-1]),
        asked=not (last in NOT_ASKED or number(last) is not None or worn),
    )


def _ours(reader: English, texts: Sequence[str]) -> list[list[Found]]:
    return [[_found(thing) for phrase in told.things for thing in _nested(phrase)] for told in reader.read(texts)]


def _nested(phrase: Phrase | None) -> Iterator[Phrase]:
    """A thing and the wholes that it is a part of."""
    while phrase is not None:
        yield phrase
        phrase = phrase.whole


def _found(thing: Phrase) -> Found:
    return Found(singular(thing.head), frozenset(re.findall(r"[^\s,-]+", " ".join(thing.attributes))))


def _chunks(nlp: "Language", texts: Sequence[str]) -> list[list[Found]]:
    return [
        [
            Found(singular(chunk.root.lower_), frozenset(token.lower_ for token in chunk))
            for chunk in doc.noun_chunks
            if chunk.root.pos_ not in ("PRON", "NUM")
        ]
        for doc in nlp.pipe(map(plain, texts), batch_size=BATCH)
    ]


def _scores(sentences: Sequence[Sentence], found: Sequence[Sequence[Found]]) -> dict[str, float]:
    """Percentages by case."""
    right: dict[str, list[bool]] = {"recall": [], "precision": [], "first": [], "colours": []}
    for (_, marked), things in zip(sentences, found, strict=True):
        asked, nouns = [phrase for phrase in marked if phrase.asked], {thing.noun for thing in things}
        everything = frozenset[str]().union(*(phrase.words for phrase in marked))
        right["recall"] += [bool(phrase.heads & nouns) for phrase in asked]
        right["precision"] += [thing.noun in everything for thing in things]
        if marked and marked[0].asked:
            right["first"].append(bool(things) and things[0].noun in marked[0].heads)
        right["colours"] += [
            any(color in thing.told for thing in things if thing.noun in phrase.heads)
            for phrase in asked
            for color in sorted(phrase.colors)
        ]
    return {case: 100 * sum(values) / max(1, len(values)) for case, values in right.items()}


def _speed(peer: "Language") -> Row:
    """Captions of six words a second on one core; none is asked twice, since ours remembers."""
    reader, captions = English.spacy(SMALL), (f"{text} {n}" for n, text in enumerate(cycle(FIVE_WORDS)))
    ours, theirs = in_turns(
        lambda: reader.read(islice(captions, CAPTIONS)), lambda: _chunks(peer, list(islice(captions, CAPTIONS)))
    )
    return rates("captions of six words", CAPTIONS / ours, CAPTIONS / theirs, PEER, "1/s")


def _peer() -> "Language":
    import spacy

    return spacy.load(SMALL, exclude=["ner"])
