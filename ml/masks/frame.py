"""SAM's input frame, where masks become grids."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """SAM's input frame: crop, mirror, resize the longest side to `out`, pad right and bottom to out x out.

    Attributes:
        crop: x0, y0, x1, y1 in pixels of the image; None keeps the whole image.
        flip: mirror the crop left to right (before it is padded).
        out: side of the frame in pixels.
    """

    crop: tuple[float, float, float, float] | None
    flip: bool
    out: int

    def region(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The part of an image of `size` (h, w) that the frame shows, as x0, y0, x1, y1.

        Raises:
            ValueError: the crop is empty or leaves the image.
        """
        x0, y0, x1, y1 = self.crop or (0, 0, size[1], size[0])
        if not (0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]):
            raise ValueError(f"crop {self.crop} does not lie inside an image of height, width {size}")
        return float(x0), float(y0), float(x1), float(y1)

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the resized crop inside the frame, rounded as segment_anything does."""
        x0, y0, x1, y1 = self.region(size)
        scale = self.out / max(x1 - x0, y1 - y0)
        return max(int((y1 - y0) * scale + 0.5), 1), max(int((x1 - x0) * scale + 0.5), 1)

    def boxes(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Boxes xywh [n, 4] in pixels of the image -> xyxy [n, 4] in [0, 1] of the frame, cut at the crop."""
        x0, y0, x1, y1 = self.region(size)
        height, width = self.resized(size)
        xywh = np.asarray(boxes, np.float64).reshape(-1, 4)
        left, right = (np.clip(x, x0, x1) - x0 for x in (xywh[:, 0], xywh[:, 0] + xywh[:, 2]))
        top, bottom = (np.clip(y, y0, y1) - y0 for y in (xywh[:, 1], xywh[:, 1] + xywh[:, 3]))
        if self.flip:
            left, right = x1 - x0 - right, x1 - x0 - left
        sx, sy = width / (x1 - x0) / self.out, height / (y1 - y0) / self.out
        return np.stack([left * sx, top * sy, right * sx, bottom * sy], axis=1)
