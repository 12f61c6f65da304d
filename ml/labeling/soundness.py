"""Whether captions tell of anything, and the frozen CLIP tells things apart, before anything is trained on that.

Wrong weights, or pixels that are normalised otherwise than it was trained with, give similarities that are flat: every
mask is then as near to any name as to its own.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml.errors import UserError
from ml.labeling.captioners.faults import EMPTY, ENDLESS, NO_THING, TOO_LONG
from ml.labeling.language.phrases import Phrase, Told
from ml.labeling.relevance import Floats, Vocabulary

ENOUGH = 32  # described masks: of fewer, the share says little


def name_agreement(prompts: list[str], crops: Floats, words: Vocabulary, rng: np.random.Generator) -> float:
    """The share of masks that are nearer to their own prompt than to another mask's: 0.5 is chance, nan of nothing.

    Args:
        prompts: [n] of described masks.
        crops: f32 [n, e], L2-normalised.
    """
    others = [prompts[i] for i in rng.permutation(len(prompts))]
    different = np.array([own != other for own, other in zip(prompts, others, strict=True)], bool)
    if not different.any():
        return float("nan")
    nearer = words.own_similarity(prompts, crops) > words.own_similarity(others, crops)
    return float(nearer[different].mean())


def require_agreement(found: float, described: int, least: float) -> None:
    """Check that names and crops agree better than by chance.

    Raises:
        UserError: they do not.
    """
    if described >= ENOUGH and found < least:
        raise UserError(
            f"labels.least_agreement: {100 * found:.0f} % of {described} masks are nearer to their own name than to "
            f"another's, wanted {100 * least:.0f} % (50 is chance): CLIP's similarities are flat; see that "
            "backbones.clip.pretrained are weights of backbones.clip.model_name, and trained with its pixel statistics"
        )


@dataclass
class Heard:
    """The captions of a shard's masks: how many were read, how many of them tell of a thing, and what others lack."""

    captions: int = 0
    phrases: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def first(self, caption: str | None, told: Told) -> Phrase | None:
        """The thing that a caption tells of first, which is counted; None where there is none, or no caption."""
        if caption is None:
            return None
        fault = EMPTY if not caption.strip() else TOO_LONG if len(caption) > ENDLESS else ""
        thing = told.first if not fault else None
        self.captions += 1
        self.phrases += thing is not None
        if thing is None:
            self.faults[f"caption: {fault or NO_THING}"] += 1
        return thing


def require_queries(rows: Iterable[dict[str, Any]], heard: Heard, midpoint: float) -> Iterator[dict[str, Any]]:
    """Pass rows of labels on, and at their end check that their queries mean something that is there.

    Raises:
        UserError: not one does, though there are masks.
    """
    masks = meant = 0
    for row in rows:
        masks += len(row["mask_ids"])
        meant += sum(query["target"] >= 0 for query in row["queries"])
        yield row
    if masks and not meant:
        raise UserError(f"labels: not one query for {masks} masks: {_why(heard, midpoint)}")


def _why(heard: Heard, midpoint: float) -> str:
    found = f"{heard.captions} captions read, {heard.phrases} phrases found, relevance midpoint {midpoint:g}"
    if not heard.captions:
        return f"{found}; give labels.captioner captions of these masks (docs/captions.md)"
    if not heard.phrases:
        often = heard.faults.most_common(1)[0][0].removeprefix("caption: ")
        return f"{found}; the captions are of no use (most often: {often}): they are to name a thing in English"
    return f"{found}; CLIP finds none of them clearly in its mask: lower labels.similarity_midpoint, or raise it"
