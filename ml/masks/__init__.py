"""Mask algebra on COCO run lengths: batched over the masks of an image, compiled, never decoded at full size."""

from ml.masks.coverage import Frame
from ml.masks.masks import MaskError, Masks, validate

__all__ = ["Frame", "MaskError", "Masks", "validate"]
