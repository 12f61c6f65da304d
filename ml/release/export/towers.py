"""The model as ONNX graphs: image encoder, crop encoder, text encoder, heads.

Four graphs rather than one, since an image is encoded once for many queries and a query once for many images.
"""

import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from ml.models.arrcoc import ARRCOC
from ml.models.frozen.clip import Clip
from ml.models.frozen.sam import Sam, normalized
from ml.models.frozen.texts import REFERENTS
from ml.release.export import graphs
from ml.release.runtime.towers import CROP_ENCODER, HEADS, IMAGE_ENCODER, TEXT_ENCODER

GRAPHS = (IMAGE_ENCODER, CROP_ENCODER, TEXT_ENCODER, HEADS)
OPSET = 18


class ImageEncoder(nn.Module):
    """SAM's image encoder with its normalisation: uint8 `[1, 4, S, S]` -> `[1, C, h, w]`."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.encoder = sam.model.image_encoder
        self.register_buffer("pixel_mean", sam.model.pixel_mean)
        self.register_buffer("pixel_std", sam.model.pixel_std)

    def forward(self, images: Tensor) -> Tensor:
        """Features `[1, C, h, w]` of uint8 `[1, 4, S, S]`."""
        return self.encoder(normalized(images, self.pixel_mean, self.pixel_std))


class CropEncoder(nn.Module):
    """CLIP's image tower with its normalisation: uint8 `[N, 3, s, s]` -> `[N, e]`, L2-normalised."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.visual = clip.model.visual
        self.register_buffer("pixel_mean", clip.mean)
        self.register_buffer("pixel_std", clip.std)

    def forward(self, crops: Tensor) -> Tensor:
        """Embeddings `[N, e]` of uint8 crops `[N, 3, s, s]`."""
        found = self.visual((crops.float() - self.pixel_mean) / self.pixel_std)
        return F.normalize(found[0] if isinstance(found, tuple) else found, dim=-1)


class TextEncoder(nn.Module):
    """CLIP's text tower: ids `[Q, T]` -> tokens `[Q, T, text_dim]`, pooled `[Q, e]`, mask bool `[Q, T]`."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip
        self.text = clip.model.text  # registered, so that its weights are exported

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, pooled and mask of ids `[Q, T]`."""
        features = self.clip.encode_text(ids)
        return features.tokens, features.pooled, features.mask


def export_image_encoder(sam: Sam, path: Path) -> None:
    """Write SAM's image encoder; it takes one image at a time."""
    image = torch.zeros(1, 4, sam.image_size, sam.image_size, dtype=torch.uint8)
    export(ImageEncoder(sam), {"images": image}, ["features"], path, {})


def export_crop_encoder(clip: Clip, path: Path) -> None:
    """Write CLIP's image tower; it takes any number of crops."""
    crops = torch.zeros(3, 3, clip.eye.size, clip.eye.size, dtype=torch.uint8)
    export(CropEncoder(clip), {"crops": crops}, ["embeddings"], path, {"crops": {0: Dim("regions")}})


def export_text_encoder(clip: Clip, path: Path) -> None:
    """Write CLIP's text tower; it takes any number of texts."""
    ids = clip.tokenize(["a red car", "the sky", "a boat"])
    export(TextEncoder(clip), {"ids": ids}, ["tokens", "pooled", "text_mask"], path, {"ids": {0: Dim("queries")}})


def export_heads(model: ARRCOC, path: Path) -> None:
    """Write the trained part; any number of regions N and queries Q of one image."""
    c, n, q = model.config, 5, 3
    example = {
        "features": torch.randn(1, c.sam_dim, c.grid, c.grid),
        "coverage": torch.rand(1, n, c.grid, c.grid),
        "boxes": torch.tensor([[[0.1, 0.2, 0.5, 0.6]] * n]),
        "crops": F.normalize(torch.randn(1, n, c.embed_dim), dim=-1),
        "valid": torch.ones(1, n, dtype=torch.bool),
        "tokens": torch.randn(1, q, c.context_length, c.text_dim),
        "text_mask": torch.ones(1, q, c.context_length, dtype=torch.bool),
        "pooled": torch.randn(1, q, c.embed_dim),
        "referents": torch.randn(1, q, REFERENTS, c.embed_dim),
    }
    regions, queries = Dim("regions"), Dim("queries")
    dims = dict.fromkeys(("coverage", "boxes", "crops", "valid"), regions)
    dims |= dict.fromkeys(("tokens", "text_mask", "pooled", "referents"), queries)
    axes = {name: {1: dim} for name, dim in dims.items()}
    export(model.eval(), example, ["relevance", "grounding"], path, axes)


def export(
    module: nn.Module, example: dict[str, Tensor], outputs: list[str], path: Path, axes: dict[str, dict[int, Dim]]
) -> None:
    """Write a module as a graph.

    Args:
        example: what it takes, by name, in order.
        axes: which dimensions of which input may differ from the example's.
    """
    shapes = {name: axes.get(name) for name in example}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module.eval(),
            tuple(example.values()),
            input_names=list(example),
            output_names=outputs,
            dynamic_shapes=tuple(shapes.values()),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            optimize=False,  # onnxruntime does the same in a tenth of the time when it loads the graph
        )
    if program is None:
        raise RuntimeError(f"{path.name}: the exporter made no graph")
    graphs.write_program(program, path)


def with_weights(graph: Path, module: nn.Module, path: Path) -> None:
    """Write to `path` the graph that was exported from a module like `module`, with the weights of `module`."""
    model = graphs.read(graph)
    weights = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    for initializer in model.graph.initializer:
        if initializer.name in weights:
            initializer.CopyFrom(numpy_helper.from_array(weights[initializer.name], initializer.name))
    graphs.write(model, path)
