"""Mask algebra on COCO run lengths: batched over the masks of an image, compiled, never decoded at full size.

`PlainMasks` does in numpy what a server needs, where nothing is compiled: `Masks` is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ml.masks.frame import Frame
from ml.masks.plain import PlainMasks

if TYPE_CHECKING:
    from ml.masks.masks import MaskError, Masks, validate

__all__ = ["Frame", "MaskError", "Masks", "PlainMasks", "validate"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("ml.masks.masks"), name)
