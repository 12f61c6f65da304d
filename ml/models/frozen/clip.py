"""The frozen CLIP or CoCa of `open_clip`: embeddings of crops and texts, token features, and captions.

Radford et al., "CLIP", 2021; Yu et al., "CoCa", 2022. Every model has open_clip's custom-text layout (`visual`,
`text`, and `text_decoder` where it captions), so that one wrapper reads them all.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import torch
from open_clip import CoCa, SimpleTokenizer
from open_clip.transformer import text_global_pool
from torch import Tensor
from torch.nn import functional as F

from ml.compute.device import accelerator, half_precision
from ml.errors import UserError
from ml.labeling.geometry.eye import Eye
from ml.models.frozen.architecture import build_clip
from ml.models.frozen.decoding import CachedDecoder
from ml.models.weights import read_config, read_weights


@dataclass(frozen=True)
class TextFeatures:
    """What the text tower says of a batch of texts.

    Attributes:
        tokens: `[B, T, text_dim]`, a vector a token: its contextual feature, then its word embedding.
        pooled: `[B, embed_dim]`, L2-normalised.
        mask: `[B, T]` bool, true up to and including the end token.
    """

    tokens: Tensor
    pooled: Tensor
    mask: Tensor


class Clip:
    """A frozen CLIP, or a CoCa, which also captions."""

    pad_id = 0  # what open_clip's tokenizer pads with

    def __init__(self, model: Any, tokenizer: SimpleTokenizer, mean: list[float], std: list[float], eye: Eye) -> None:
        """`mean` and `std`: of the pixels in [0, 1] that it was trained with. `eye`: how it is shown pictures."""
        self.model: Any = model.eval().requires_grad_(False)
        self.eye = eye
        self.model.text.output_tokens = True
        self.tokenizer = tokenizer
        self.mean = torch.tensor(mean).view(3, 1, 1) * 255
        self.std = torch.tensor(std).view(3, 1, 1) * 255
        self.context_length: int = model.text.context_length
        self.vocab_size: int = model.text.vocab_size
        self.text_dim: int = 2 * model.text.width
        self.embed_dim: int = model.text.output_dim
        self.start_id: int = tokenizer.sot_token_id
        self.end_id: int = tokenizer.eot_token_id

    def to(self, device: torch.device) -> Self:
        """Move the weights to a device; what crops are taken for is then computed there, and answered on the CPU."""
        self.model.to(device)
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        return self

    @property
    def captions(self) -> bool:
        """Whether the model can caption."""
        return isinstance(self.model, CoCa)

    def tokenize(self, texts: list[str]) -> Tensor:
        """Token ids int64 `[B, context_length]`: start, text, end, padding; a text too long is cut before the end."""
        return self.tokenizer(texts, context_length=self.context_length)

    def detokenize(self, ids: Tensor) -> str:
        """The text of a row of ids, up to the first end token."""
        row = ids.tolist()
        row = row[: row.index(self.end_id)] if self.end_id in row else row
        return self.tokenizer.decode([i for i in row if i not in (self.start_id, self.pad_id)]).strip()

    @torch.no_grad()
    def encode_text(self, ids: Tensor) -> TextFeatures:
        """Features of token ids `[B, T]`, T at most `context_length`.

        Word embeddings (normalised to the scale of the contextual features) stand beside what the tower makes of them:
        trained to match pictures of things, it forgets what no picture of a thing shows. Of "leftmost" and "rightmost"
        the features are all but the same, the embeddings are not (Yuksekgonul et al., "bags-of-words", 2023).
        """
        ids = ids.to(self.model.text.token_embedding.weight.device)
        pooled, contextual = read_text(self.model.text, ids)
        words = F.layer_norm(self.model.text.token_embedding(ids), contextual.shape[-1:])
        tokens = torch.cat([contextual, words], dim=-1)
        ends = (ids == self.end_id).int().argmax(1, keepdim=True)
        mask = torch.arange(ids.shape[1], device=ids.device) <= ends
        return TextFeatures(tokens, F.normalize(pooled, dim=-1), mask)

    @torch.no_grad()
    def encode_image(self, crops: Tensor) -> Tensor:
        """Embed uint8 RGB crops `[B, 3, s, s]`, s the eye's size, as `[B, embed_dim]`, L2-normalised."""
        with half_precision(self.mean.device):
            pooled = self.model.encode_image(self.normalize(crops))
        return F.normalize(pooled.float(), dim=-1).cpu()

    @torch.no_grad()
    def caption(self, crops: Tensor) -> list[str]:
        """Caption uint8 RGB crops `[B, 3, s, s]` by greedy decoding.

        Raises:
            UserError: the model has no caption decoder.
        """
        return self.describe(crops)[1]

    @torch.no_grad()
    def describe(self, crops: Tensor) -> tuple[Tensor, list[str]]:
        """`encode_image` and `caption` of the same crops, in one pass of the image tower.

        Raises:
            UserError: the model has no caption decoder.
        """
        if not self.captions:
            raise UserError("params.backbones.clip: this model cannot caption; name a CoCa in captioner_name")
        with half_precision(self.mean.device):
            pooled, image_tokens = self.model.visual(self.normalize(crops))
            ids = self._decode(image_tokens)
        return F.normalize(pooled.float(), dim=-1).cpu(), [self.detokenize(row) for row in ids]

    def _decode(self, image_tokens: Tensor) -> Tensor:
        """Greedy ids `[B, context_length]` of images `[B, K, d]`, up to an end or to padding, as open_clip stops."""
        ids = torch.full((len(image_tokens), self.context_length), self.pad_id)
        ids[:, 0] = self.start_id
        decoder = CachedDecoder(self.model.text, self.model.text_decoder, image_tokens)
        going = torch.arange(len(ids))  # an image's caption is long, a region's short: what has ended costs nothing
        for length in range(1, self.context_length):
            following = decoder.step(ids[going, length - 1].to(self.mean.device)).argmax(-1).cpu()
            ids[going, length] = following
            goes_on = (following != self.end_id) & (following != self.pad_id)
            going = going[goes_on]
            if not len(going):
                break
            decoder.keep(goes_on)
        return ids

    def normalize(self, crops: Tensor) -> Tensor:
        """Pixels 0..255 to the statistics the model was trained with, float32."""
        return (crops.to(self.mean.device).float() - self.mean) / self.std


def read_text(tower: Any, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Pooled `[B, e]` and token features `[B, T, text_dim]` of ids `[B, T]`; T may be below the context length.

    open_clip's tower slices its causal mask for CoCa's class token only; a plain causal tower is run here.
    """
    length = ids.shape[1]
    if tower.attn_mask is None or tower.cls_emb is not None or tower.pool_type != "argmax":
        pooled, tokens = tower(F.pad(ids, (0, tower.context_length - length)))
        return pooled, tokens[:, :length]
    embedded, _ = tower._embeds(ids)
    tokens = tower.ln_final(tower.transformer(embedded, attn_mask=tower.attn_mask[:length, :length]))
    pooled = text_global_pool(tokens, ids, tower.pool_type)
    return pooled @ tower.text_projection, tokens


def load_clip(folder: Path, name: str = "clip") -> Clip:
    """Load `NAME.safetensors` as `NAME.json` describes it (`name`: clip or captioner).

    Raises:
        UserError: a file is missing or broken, or the weights are of another model.
    """
    config = read_config(folder / f"{name}.json")
    model = build_clip(config["architecture"])
    read_weights(folder / f"{name}.safetensors", model)
    return Clip(model, read_tokenizer(folder, config["merges"]), config["mean"], config["std"], Eye.of(config))


@lru_cache(maxsize=1)
def shared_clip(folder: Path) -> Clip:
    """`load_clip` on this process's device, once a process: a pool's worker takes many shards."""
    return load_clip(folder).to(accelerator())


@lru_cache(maxsize=1)
def shared_captioner(folder: Path) -> Clip:
    """The model that captions: one of its own where params name one, else the CLIP itself, a CoCa."""
    own = (folder / "captioner.json").is_file()
    return load_clip(folder, "captioner").to(accelerator()) if own else shared_clip(folder)


def read_tokenizer(folder: Path, merges: str | None) -> SimpleTokenizer:
    """open_clip's byte-pair tokenizer with the merges file beside the weights, or with its own where `merges` is None.

    Raises:
        UserError: the merges file is missing or no gzip.
    """
    if merges is None:
        return SimpleTokenizer()
    try:
        return SimpleTokenizer(bpe_path=str(folder / merges))
    except (OSError, EOFError) as error:
        raise UserError(f"{folder / merges}: not readable as BPE merges ({error})") from error


def load_captioner(folder: Path) -> Clip:
    """The model that captions: `captioner.*` where the stage wrote one, else the CLIP itself."""
    return load_clip(folder, "captioner" if (folder / "captioner.json").is_file() else "clip")
