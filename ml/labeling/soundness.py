"""Whether the frozen CLIP tells things apart at all, seen before anything is trained on what it says.

Wrong weights, or pixels that are normalised otherwise than it was trained with, give similarities that are flat: every
mask is then as near to any name as to its own.
"""

import numpy as np

from ml.errors import UserError
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
