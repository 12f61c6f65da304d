"""How each cell of a grid lies to what a query points to there: inside, beside, at an edge, in the thick, how large."""

import torch
import torch.nn.functional as F
from torch import Tensor

STEEP = 10.0  # differences beyond a tenth of the frame are as good as any
SURE = 0.999  # of a probability, so that its complement has a logarithm
RADII = (16, 8, 4)  # of windows, as divisors of the grid's side
PLACES = 18
SIZES = 5


def places(probability: Tensor) -> Tensor:
    """Probabilities `[..., h, w]` that a cell is pointed to, to `PLACES` numbers of each cell: `[..., PLACES, h, w]`.

    The probability; the gaps to the four sides of the box around what is pointed to, and the same in steps that
    saturate; the offset from its centre of mass, in both forms, and which axis dominates it; how much of the windows
    around the cell is pointed to, and of the largest as a share of the most that any cell has.
    """
    height, width = probability.shape[-2:]
    y, x = (((torch.arange(n, device=probability.device) + 0.5) / n) for n in (height, width))
    x, y = x.expand(height, width), y.unsqueeze(-1).expand(height, width)
    left, right = _ends(probability.amax(-2))
    top, bottom = _ends(probability.amax(-1))
    gaps = [x - left, right - x, y - top, bottom - y]
    mass = probability / probability.sum((-2, -1), keepdim=True).clamp_min(1e-3)
    offset = [axis - (mass * axis).sum((-2, -1), keepdim=True) for axis in (x, y)]
    dominant = torch.tanh(STEEP * (offset[0].abs() - offset[1].abs()))
    around = [_window(probability, max(height, width) // divisor) for divisor in RADII]
    share = around[-1] / around[-1].amax((-2, -1), keepdim=True).clamp_min(1e-3)
    steep = [torch.tanh(STEEP * value) for value in (*gaps, *offset)]
    return torch.stack([probability, *gaps, *offset, *steep, dominant, *around, share], dim=-3)


def sizes(probability: Tensor, own: Tensor, others: Tensor) -> Tensor:
    """How large what is on a cell is next to what is pointed to, `SIZES` numbers of each cell: `[..., SIZES, h, w]`.

    Its size, and what it is beyond the greatest and the least of the cells that are pointed to (by `probability`
    `[..., h, w]`), as it is and in steps that saturate. Sizes are logarithms of sides: `own` of what is named, `others`
    of what is pointed to, `[..., h, w]` both.
    """
    meant = probability >= probability.amax((-2, -1), keepdim=True).clamp(max=0.5)
    most = torch.where(meant, others, -torch.inf).amax((-2, -1), keepdim=True)
    least = torch.where(meant, others, torch.inf).amin((-2, -1), keepdim=True)
    beyond = [own - most, own - least]
    return torch.stack([own, *beyond, *(torch.tanh(STEEP * value) for value in beyond)], dim=-3)


def _ends(profile: Tensor) -> tuple[Tensor, Tensor]:
    """Where what a profile of probabilities `[..., n]` shows is expected to begin and to end, in [0, 1]: `[..., 1, 1]`.

    The sum of the probabilities that nothing has come yet; products as sums of logarithms, which ONNX can.
    """
    nothing = torch.log1p(-SURE * profile)
    before = nothing.cumsum(-1)
    after = before[..., -1:] - before + nothing
    return before.exp().mean(-1)[..., None, None], 1 - after.exp().mean(-1)[..., None, None]


def _window(values: Tensor, radius: int) -> Tensor:
    """Means of `[..., h, w]` over the square windows around each cell; beyond the frame is nothing."""
    return F.avg_pool2d(values.flatten(0, -3), 2 * radius + 1, 1, radius).view_as(values)
