"""The exported graphs behind the interfaces that evaluation knows: towers that encode, and heads that answer."""

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
)
from torch import Tensor

from ml.errors import UserError
from ml.evaluation.predictions.predictor import Crops
from ml.labeling.geometry.eye import Eye
from ml.labeling.language.english import SMALL, english
from ml.labeling.language.referents import referents
from ml.models.frozen.clip import read_eye, read_tokenizer
from ml.models.frozen.sam import Sam
from ml.models.frozen.texts import REFERENTS
from ml.models.weights import read_config
from ml.release.export import CROP_ENCODER, HEADS, IMAGE_ENCODER, TEXT_ENCODER

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # the first that there is, the next for what it lacks
Tokenize = Callable[[list[str]], Tensor]


class OnnxSam(Sam):
    """A SAM whose image encoder is an ONNX graph; prompts and masks stay with PyTorch."""

    def __init__(self, sam: Sam, graph: Path) -> None:
        super().__init__(sam.model, sam.config)
        self.session = session(graph)

    def encode(self, images: Tensor) -> Tensor:
        """Encode uint8 `[B, 4, S, S]` in SAM's frame to `[B, C, h, w]`, an image at a time."""
        return torch.cat([_run(self.session, images=image[None])[0] for image in images])


class OnnxCropEncoder:
    """CLIP's image tower as an ONNX graph: `ml.evaluation.predictions.predictor.Encoder`."""

    def __init__(self, graph: Path, eye: Eye) -> None:
        self.session, self.eye = session(graph), eye

    def encode_image(self, crops: Tensor) -> Tensor:
        """Embed uint8 RGB crops `[B, 3, s, s]` as `[B, e]`, L2-normalised."""
        return _run(self.session, crops=crops)[0]


class OnnxHeads:
    """Text encoder and heads as ONNX graphs: `ml.evaluation.predictions.predictor.Heads`."""

    def __init__(self, text_encoder: Path, heads: Path, tokenize: Tokenize, language: str = SMALL) -> None:
        self.text, self.trained = session(text_encoder), session(heads)
        self.tokenize, self.reader = tokenize, english(language)

    @classmethod
    def load(cls, folder: Path, tokenize: Tokenize, language: str = SMALL) -> "OnnxHeads":
        """The graphs of an exported folder.

        Args:
            folder: has `TEXT_ENCODER` and `HEADS`.
            tokenize: texts to token ids int64 `[Q, context_length]`.
            language: the spaCy model that queries are read with.

        Raises:
            UserError: a graph is missing or broken.
        """
        return cls(folder / TEXT_ENCODER, folder / HEADS, tokenize, language)

    def beside(self, heads: Path) -> "OnnxHeads":
        """Other heads that read texts through the same encoder, which is not loaded again.

        Raises:
            UserError: the graph is missing or broken.
        """
        other = copy(self)
        other.trained = session(heads)
        return other

    def heads(
        self, features: Tensor, coverage: Tensor, boxes: Tensor, crops: Tensor, valid: Tensor, texts: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """As `Heads.heads`; all tensors on the CPU."""
        given = {"features": features, "coverage": coverage, "boxes": boxes, "crops": crops, "valid": valid}
        relevance, grounding = _run(self.trained, **given, **self._read(texts))
        return relevance, grounding

    def _read(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """What the heads read of Q texts: their tokens, pooled features and mask, and those of what they speak of."""
        spoken = [part for both in referents(texts, self.reader) for part in both]
        there = torch.tensor([[float(bool(part))] for part in spoken])
        tokens, pooled, mask = _run(self.text, ids=self.tokenize([*texts, *spoken]))
        asked, parts = pooled.split([len(texts), len(spoken)])
        read = {"tokens": tokens[: len(texts)], "text_mask": mask[: len(texts)], "pooled": asked}
        read["referents"] = (parts * there).unflatten(0, (-1, REFERENTS))
        return {name: part[None] for name, part in read.items()}


def onnx_crops(folder: Path, eye: Eye, margin: float) -> Crops:
    """Crops with `margin` around the mask, through the image tower of an exported folder."""
    return Crops(OnnxCropEncoder(folder / CROP_ENCODER, eye), margin)


def eye_of(folder: Path) -> Eye:
    """How crops are shown to CLIP, as `clip.json` says.

    Raises:
        UserError: the file is missing or broken.
    """
    return read_eye(read_config(folder / "clip.json"))


def onnx_sam(sam: Sam, folder: Path) -> OnnxSam:
    """`sam` with the image encoder of an exported folder."""
    return OnnxSam(sam, folder / IMAGE_ENCODER)


def tokenizer(folder: Path) -> Tokenize:
    """Texts to ids int64 `[Q, context_length]` as `clip.json` says, without the model.

    Raises:
        UserError: a file is missing or broken.
    """
    config = read_config(folder / "clip.json")
    length = config["architecture"]["text_cfg"]["context_length"]
    return partial(read_tokenizer(folder, config["merges"]), context_length=length)


def session(graph: Path) -> onnxruntime.InferenceSession:
    """An onnxruntime session, on a GPU where onnxruntime has one, else on as many threads as PyTorch uses.

    It keeps no arena: a large encoder's would hold its activations, gigabytes, for as long as the session lives.

    Raises:
        UserError: the graph is missing or broken.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    providers = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=providers)
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(f"{graph}: not readable as ONNX ({reason}); run: arrcoc stage compressed_model") from error


def _run(graph: onnxruntime.InferenceSession, **inputs: Tensor) -> list[Tensor]:
    known = {item.name for item in graph.get_inputs()}
    feed = {name: value.numpy() for name, value in inputs.items() if name in known}
    return [torch.from_numpy(np.asarray(value)) for value in graph.run(None, feed)]
