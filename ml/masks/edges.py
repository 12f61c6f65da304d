"""Masks drawn coarsely, brought to a picture's own edges: the fast guided filter (He and Sun, 2015) with colour.

Around each cell a mask is taken to be linear in the picture's colours, fitted where the mask was drawn; the picture
then tells at its own resolution where it ends. Plain pictures gain by it, textured ones lose: within the few cells of a
window colours must tell the thing from what lies beside it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
NEGLIGIBLE = 0.01  # probability below which a cell is not of the mask


class Edges:
    """A picture's colours, for masks that were drawn in the cells of a frame around it."""

    def __init__(self, image: NDArray[np.uint8], frame: tuple[int, int], cell: int, radius: int, variance: float):
        """Read the picture once for all masks.

        Args:
            image: RGB `[H, W, 3]`.
            frame: height and width of the picture in the frame, in its pixels; it lies at the top left.
            cell: pixels of the frame a cell is wide.
            radius: cells that a window reaches to either side.
            variance: of the colours, in [0, 1], below which a window is plain: nothing is told by its colours.
        """
        self.image, self.size = image, (image.shape[0], image.shape[1])
        self.radius, self.side = radius, 2 * radius + 1
        self.cells = (-(-frame[0] // cell), -(-frame[1] // cell))
        self.scale = (frame[0] / self.size[0] / cell, frame[1] / self.size[1] / cell)  # cells a pixel
        self.colours = _in_cells(image, frame, self.cells, cell)
        self.mean = self._blur(self.colours)
        products = self.colours[..., :, None] * self.colours[..., None, :]
        spread = self._blur(products.reshape(*self.cells, 9)).reshape(products.shape)
        spread -= self.mean[..., :, None] * self.mean[..., None, :]
        self.inverse = np.linalg.inv(spread + np.float32(variance) * np.eye(3, dtype=np.float32))

    def fit(self, probability: Floats) -> NDArray[np.bool_]:
        """A mask of the picture, `[H, W]`, from its probability in the cells of the frame `[h, w]`.

        The cells beyond the picture may be there or not; a last one that it only touches is as the one before it.
        """
        beyond = [(0, max(0, wanted - given)) for wanted, given in zip(self.cells, probability.shape, strict=True)]
        probability = np.pad(probability, beyond, "edge")[: self.cells[0], : self.cells[1]]
        mask = np.zeros(self.size, bool)
        if (probability > NEGLIGIBLE).any():
            rows, columns = (self._reach(probability, axis) for axis in (0, 1))
            linear = self._linear(probability[rows, columns], rows, columns)
            self._paint(mask, linear, rows.start, columns.start)
        return mask

    def _reach(self, probability: Floats, axis: int) -> slice:
        """The rows or columns of cells that a mask and its windows reach."""
        touched = np.flatnonzero((probability > NEGLIGIBLE).any(1 - axis))
        return slice(max(int(touched[0]) - self.side, 0), int(touched[-1]) + self.side + 1)

    def _linear(self, probability: Floats, rows: slice, columns: slice) -> Floats:
        """The factors of red, green and blue, and what is added: `[h, w, 4]` of some cells."""
        mean, mass = self.mean[rows, columns], self._blur(probability)[..., None]
        shared = self._blur(self.colours[rows, columns] * probability[..., None]) - mean * mass
        factors = (self.inverse[rows, columns] @ shared[..., None])[..., 0]
        return self._blur(np.concatenate([factors, mass - (factors * mean).sum(-1, keepdims=True)], axis=-1))

    def _paint(self, mask: NDArray[np.bool_], linear: Floats, top: int, left: int) -> None:
        """Set the pixels of the cells that `linear` is of, from the cell at the top left."""
        first = [int(np.floor(start / scale)) for start, scale in zip((top, left), self.scale, strict=True)]
        ends = (top + linear.shape[0], left + linear.shape[1])
        last = [
            min(int(np.ceil(end / scale)), side) for end, scale, side in zip(ends, self.scale, self.size, strict=True)
        ]
        y, x = (
            (scale, (at + 0.5) * scale - 0.5 - start)
            for scale, at, start in zip(self.scale, first, (top, left), strict=True)
        )
        fine = cv2.warpAffine(
            linear,
            np.array([[x[0], 0, x[1]], [0, y[0], y[1]]]),
            (last[1] - first[1], last[0] - first[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        place = (slice(first[0], last[0]), slice(first[1], last[1]))
        colours = self.image[place].astype(np.float32) / 255
        mask[place] = (fine[..., :3] * colours).sum(-1) + fine[..., 3] > 0.5

    def _blur(self, values: Floats) -> Floats:
        """The mean of the window around each cell, channel by channel."""
        return cv2.blur(values, (self.side, self.side), borderType=cv2.BORDER_REFLECT)  # type: ignore[return-value]


def _in_cells(image: NDArray[np.uint8], frame: tuple[int, int], cells: tuple[int, int], cell: int) -> Floats:
    """The mean colours of cells, in [0, 1]: `[h, w, 3]`."""
    framed = image if image.shape[:2] == frame else cv2.resize(image, frame[::-1], interpolation=cv2.INTER_AREA)
    beyond = [cell * count - side for count, side in zip(cells, frame, strict=True)]
    whole = cv2.copyMakeBorder(framed, 0, beyond[0], 0, beyond[1], cv2.BORDER_REPLICATE)
    return cv2.resize(whole.astype(np.float32) / 255, cells[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
