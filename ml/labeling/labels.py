"""The pseudo-labels of a shard: from kept masks to captions, phrases, queries, questions and relevance."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.labeling.captioners.captioner import Captioner
from ml.labeling.captions import Described, Embedder, describe, embed_texts
from ml.labeling.geometry.relations import measure
from ml.labeling.kept import KeptImage, count_masks, read_kept
from ml.labeling.language.agreement import agree, part_names, unseen
from ml.labeling.language.english import English, english
from ml.labeling.language.phrases import Phrase
from ml.labeling.queries.absent import Absent
from ml.labeling.queries.placed import Placed
from ml.labeling.queries.query import Asker, Query, Region, choose, phrase_text, subjects
from ml.labeling.queries.questions import ask
from ml.labeling.queries.spoken import spoken_of
from ml.labeling.queries.summary import image_caption
from ml.labeling.relevance import RELEVANT, Expression, Floats, Scores, Sizes, Vocabulary, lift
from ml.labeling.soundness import Heard, name_agreement, require_agreement, require_queries
from ml.labeling.table import image_columns, write
from ml.labeling.tensors import reserve, tensor_file
from ml.params import Labels
from ml.workspace.report import Report, merge

Array = NDArray[np.floating]

LEVEL_ORDER = ("object", "group", "scene", "part")  # who is described first where masks are too many
TOLD = 2  # times that a kind of part must have been told of a kind of whole
COMPARED = 4096  # described masks by which a shard's similarities are judged: all would take its memory twice
PLACED_DRAWS = 1  # a stream of random numbers of their own: what else is asked stays as it is without them
SIZE_SURE = 0.8  # least certainty of "small" or "large"


@dataclass(frozen=True)
class Draft:
    """An image after the first pass: what was said of it; its embeddings lie in the shard's file from `start`.

    Attributes:
        things: what the image's own caption tells of.
        phrases: of each mask what its caption tells of first.
    """

    kept: KeptImage
    phash: bytes
    caption: str
    things: tuple[Phrase, ...]
    phrases: list[Phrase | None]
    start: int


def label_shard(
    kept_parquet: Path,
    tar: Path,
    out_parquet: Path,
    out_embeddings: Path,
    clip: Embedder,
    captioner: Captioner,
    params: Labels,
    seed: int,
) -> Report:
    """Label a shard. Two passes: crops are captioned and embedded; then, with all the shard's words known, queried.

    Raises:
        UserError: an input is not readable, captions are not to be had or of no use, or no query comes of them.
    """
    rejected: Counter[str] = Counter()
    heard = Heard()
    with TemporaryDirectory() as folder:
        embeddings = _scratch(Path(folder), count_masks(kept_parquet), clip.embed_dim)
        described = describe(read_kept(kept_parquet), tar, clip, captioner, params, rejected)
        drafts = _agreeing(list(_drafts(described, embeddings, english(params.language), heard)))
        told = captioner.report()
        words = _vocabulary(drafts, clip, params)
        agreement = _sound(drafts, embeddings, words, params, seed)
        drafts = [_confident(draft, embeddings, words, params.max_regions) for draft in drafts]
        sizes = _sizes(drafts)
        rows = (_label(draft, embeddings, words, sizes, params, seed) for draft in drafts)
        report = write(require_queries(rows, heard, params.similarity_midpoint), out_parquet, tar)
        _keep(embeddings[: sum(len(draft.phrases) for draft in drafts)], out_embeddings)
    report.numbers |= {"captions": heard.captions, "phrases": heard.phrases}
    report.rejected = dict(rejected + heard.faults)
    if np.isfinite(agreement):
        report.numbers["names nearer to their own mask"] = agreement
    return merge([report, told])


def _scratch(folder: Path, rows: int, width: int) -> Array:
    """Embeddings float16 [rows, width] on disk until it is known how many images can be read."""
    path, shape = folder / "embeddings", (max(rows, 1), width)
    reserve(path, shape[0] * width * np.dtype(np.float16).itemsize)
    return np.memmap(path, np.float16, "r+", shape=shape)


def _keep(embeddings: Array, out: Path) -> None:
    with tensor_file(out, {"embeddings": ("F16", embeddings.shape)}) as tensors:
        tensors["embeddings"][:] = embeddings


def _drafts(described: Iterator[Described], embeddings: Array, reader: English, heard: Heard) -> Iterator[Draft]:
    start = 0
    for one in described:
        end = start + len(one.captions)
        embeddings[start:end] = one.embeddings
        whole, *parts = reader.read([one.caption, *(caption or "" for caption in one.captions)])
        phrases = [heard.first(caption, part) for caption, part in zip(one.captions, parts, strict=True)]
        yield Draft(one.kept, one.phash, one.caption, whole.things, phrases, start)
        start = end


def _agreeing(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts with phrases that agree with the tree of masks; which parts things have, the shard itself tells."""
    told: Counter[tuple[str, str]] = Counter()
    for draft in drafts:
        told.update(part_names(draft.phrases, draft.kept.levels, draft.kept.parents()))
    known = {pair for pair, count in told.items() if count >= TOLD}
    return [
        replace(draft, phrases=agree(draft.phrases, draft.kept.levels, draft.kept.parents(), draft.kept.areas(), known))
        for draft in drafts
    ]


def _vocabulary(drafts: Sequence[Draft], clip: Embedder, params: Labels) -> Vocabulary:
    """Every phrase and name of the shard, embedded once."""
    phrases = {phrase for draft in drafts for phrase in draft.phrases if phrase}
    names = {subject.prompt for phrase in phrases for subject in Region(0, phrase, "object").subjects()}
    mentioned = {phrase.indefinite for draft in drafts for phrase in draft.things}
    prompts = sorted({phrase.indefinite for phrase in phrases} | names | mentioned)
    things = sorted((phrase for phrase in phrases if phrase.countable), key=repr)
    texts = embed_texts(prompts, clip, params.batch_size)
    return Vocabulary(prompts, things, texts, params.similarity_midpoint, params.similarity_scale)


def _sound(drafts: Sequence[Draft], embeddings: Array, words: Vocabulary, params: Labels, seed: int) -> float:
    """How far names and crops agree in this shard, by a sample of its described masks.

    Raises:
        UserError: no better than by chance, or little.
    """
    said = [(draft.start + i, phrase) for draft in drafts for i, phrase in enumerate(draft.phrases) if phrase]
    rng = np.random.default_rng(seed)
    said = [said[i] for i in np.sort(rng.permutation(len(said))[:COMPARED])]
    crops = embeddings[[row for row, _ in said]].astype(np.float32)
    found = name_agreement([phrase.indefinite for _, phrase in said], crops, words, rng)
    require_agreement(found, len(said), params.least_agreement)
    return found


def _confident(draft: Draft, embeddings: Array, words: Vocabulary, limit: int) -> Draft:
    """Keep at most `limit` phrases: those that CLIP, too, finds in their own crop."""
    crops = _crops(draft, embeddings)
    said = [i for i, phrase in enumerate(draft.phrases) if phrase]
    prompts = [phrase.indefinite for phrase in draft.phrases if phrase]
    own = words.own_similarity(prompts, crops[said])
    sure = [
        (LEVEL_ORDER.index(draft.kept.levels[i]), -value, i)
        for i, value in zip(said, own, strict=True)
        if value >= RELEVANT
    ]
    chosen = {i for _, _, i in sorted(sure)[:limit]}
    phrases = [phrase if i in chosen else None for i, phrase in enumerate(draft.phrases)]
    return replace(draft, phrases=phrases)


def _sizes(drafts: Sequence[Draft]) -> Sizes:
    """What small and large mean for each noun of the shard."""
    nouns, areas = [], []
    for draft in drafts:
        pixels = draft.kept.width * draft.kept.height
        for phrase, row in zip(draft.phrases, draft.kept.rows, strict=True):
            if phrase and phrase.countable and row["level"] != "scene":
                nouns.append(phrase.noun)
                areas.append(row["area"] / pixels)
    return Sizes.fit(nouns, areas)


def _label(
    draft: Draft, embeddings: Array, words: Vocabulary, sizes: Sizes, params: Labels, seed: int
) -> dict[str, Any]:
    """One image's row."""
    kept = draft.kept
    rng = np.random.default_rng([seed, kept.image_id])
    parents = kept.parents()
    geometry = measure(kept.masks(), parents, params.relation_margin)
    regions = _regions(draft, geometry.areas, sizes)
    names, crops = subjects(regions), _crops(draft, embeddings)
    hidden = unseen(draft.phrases, kept.levels, parents)
    asker = Asker(regions, names, Scores(names, crops, geometry, words, sizes), hidden)
    absent = Absent(asker, {*hidden, *draft.things}, crops, words, rng)
    scores = Scores([*names, *absent.subjects], crops, geometry, words, sizes)
    clear = asker.all()
    spatial = [query for query in clear if query.kind in ("relation", "superlative")]
    plain = [query for query in clear if query.kind not in ("relation", "superlative")]
    chosen = choose(plain, params.max_regions, "kind", rng) + choose(spatial, params.spatial_queries, "relation", rng)
    placed = Placed(asker, np.random.default_rng([seed, kept.image_id, PLACED_DRAWS]))
    anew = placed.queries(params.placed_queries)
    missing = absent.queries(scores, params.absent_queries)
    questions = ask(asker, clear, kept.levels, crops, words, params.questions, rng)
    queries = [*chosen, *anew, *missing]
    said = [phrase_text(query, rng) for query in chosen]
    said += [*map(placed.text, anew), *(phrase_text(query, rng) for query in missing)]
    return {
        **image_columns(kept),
        "phash": draft.phash,
        "caption": image_caption(draft.caption, draft.things, regions, geometry, crops, words),
        "phrases": [_spoken(phrase) for phrase in draft.phrases],
        "queries": [_asked(query, text, scores) for query, text in zip(queries, said, strict=True)],
        "relevance": list(_relevance(queries, scores)),
        "questions": [asdict(question) for question in questions],
    }


def _regions(draft: Draft, areas: Array, sizes: Sizes) -> list[Region]:
    return [
        Region(i, phrase, level, sizes.word(phrase.noun, float(areas[i]), SIZE_SURE))
        for i, (phrase, level) in enumerate(zip(draft.phrases, draft.kept.levels, strict=True))
        if phrase
    ]


def _relevance(queries: Sequence[Query], scores: Scores) -> Floats:
    """f32 [Q, N], the target's near-duplicates lifted to it; 0 for what is absent, whose queries come last."""
    N = len(scores.geometry.areas)
    present = [query for query in queries if query.target >= 0]
    rows = np.array([scores.of(query.expression) for query in present], np.float32).reshape(-1, N)
    lifted = lift(rows, [query.target for query in present], scores.geometry)
    return np.concatenate([lifted, np.zeros((len(queries) - len(present), N), np.float32)])


def _asked(query: Query, text: str, scores: Scores) -> dict[str, Any]:
    """A query as it is kept; `named`: the masks that its name alone might mean, the cars of "leftmost car".

    `name`, `against`: what it speaks of, as CLIP reads it; "" where the text is to be read.
    """
    spoken = spoken_of(query.expression)
    return {
        "text": text,
        "kind": query.kind,
        "target": query.target,
        "anchor": query.anchor,
        "named": np.flatnonzero(scores.of(Expression(query.expression.subject)) >= RELEVANT).tolist(),
        "name": spoken.name,
        "against": spoken.anchor,
    }


def _spoken(phrase: Phrase | None) -> str:
    return phrase.indefinite if phrase else ""


def _crops(draft: Draft, embeddings: Array) -> Floats:
    return embeddings[draft.start : draft.start + len(draft.kept.rows)].astype(np.float32)
