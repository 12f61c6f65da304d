"""The tags of words by spaCy's own small network, computed with numpy: for a process without spaCy.

`tagger.json` holds the tokenizer's rules and the words' norms, `tagger.safetensors` the weights: hashed embeddings of
norm, prefix, suffix and shape, then layers that each see a word and its two neighbours (Honnibal, "Embed, encode,
attend, predict", 2016). `ml.release.export.english` writes them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ml.errors import UserError, cut
from ml.labeling.language.hashing import hash64, rows
from ml.labeling.language.tokenizer import Rules, Token, Tokenizer

CONFIG, WEIGHTS = "tagger.json", "tagger.safetensors"
PAD = 4  # empty rows around a text, as Thinc computes it
LONGEST_SHAPE = 100  # letters of a word whose shape is told

Floats = NDArray[np.float32]


class Word(NamedTuple):
    """A word with its Penn Treebank tag, under the names that spaCy's tokens have."""

    text: str
    tag_: str

    @property
    def lower_(self) -> str:
        """In lower case."""
        return self.text.lower()

    @property
    def is_alpha(self) -> bool:
        """Whether it has letters only."""
        return self.text.isalpha()


class Tagger:
    """Tags texts, one at a time."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Floats]) -> None:
        self._cut = Tokenizer(Rules(**config["rules"]))
        self._norms, self._symbols, self._labels = config["norms"], config["symbols"], config["labels"]
        self._hashed_norms = {int(key): norm for key, norm in config["hashed_norms"].items()}
        self._seeds, self._weights, self._depth = config["seeds"], weights, config["depth"]
        self._id = lru_cache(maxsize=1 << 16)(self._id)  # type: ignore[method-assign]

    @classmethod
    def load(cls, folder: Path) -> "Tagger":
        """What `ml.release.export.english.write_tagger` wrote.

        Raises:
            UserError: a file is missing or broken.
        """
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            return cls(config, load_file(folder / WEIGHTS))
        except (OSError, ValueError, SafetensorError) as error:
            raise UserError(
                f"{folder}: no tagger there ({cut(str(error))}); run: arrcoc stage released_model"
            ) from error

    def __call__(self, texts: Iterable[str]) -> Iterator[list[Word]]:
        """The words of each text, tagged; the only white space of a text is single spaces."""
        for text in texts:
            tokens = self._cut(text)
            yield [Word(token.text, tag) for token, tag in zip(tokens, self._tags(tokens), strict=True)]

    def _tags(self, tokens: Sequence[Token]) -> list[str]:
        if not tokens:
            return []
        x = _maxout(self._embedded(tokens), self._weights, "embed")
        x = np.pad(x, ((PAD, PAD), (0, 0)))
        for layer in range(self._depth):
            edge = np.zeros_like(x[:1])
            window = np.concatenate([np.concatenate([edge, x[:-1]]), x, np.concatenate([x[1:], edge])], axis=1)
            x = x + _maxout(window, self._weights, f"encode{layer}")
        logits = x[PAD:-PAD] @ self._weights["tag.W"].T + self._weights["tag.b"]
        return [self._labels[i] for i in logits.argmax(1)]

    def _embedded(self, tokens: Sequence[Token]) -> Floats:
        """The sums of the hashed rows of each feature, side by side: `[n, features * width]`."""
        ids = np.array([self._features(token) for token in tokens], np.uint64)
        tables = [self._weights[f"table{i}"] for i in range(len(self._seeds))]
        hashed = (rows(column, seed) for column, seed in zip(ids.T, self._seeds, strict=True))
        parts = [table[keys % len(table)].sum(1) for table, keys in zip(tables, hashed, strict=True)]
        return np.concatenate(parts, axis=1)

    def _features(self, token: Token) -> tuple[int, ...]:
        """Norm, prefix, suffix, shape, whether a space follows, whether it is one."""
        text = token.text
        parts = (token.norm or self._norm(text), text[:1], text[-3:], shape(text))
        return (*map(self._id, parts), int(token.spaced), int(text.isspace()))

    def _norm(self, text: str) -> str:
        return self._hashed_norms.get(self._id(text)) or self._norms.get(text) or text.lower()

    def _id(self, text: str) -> int:
        """What stands for a string: its hash, or the number of a symbol."""
        return self._symbols[text] if text in self._symbols else hash64(text)


def shape(text: str) -> str:
    """The kinds of a word's letters, at most four alike in a row: "Xxxx-dd"."""
    if len(text) >= LONGEST_SHAPE:
        return "LONG"
    found: list[str] = []
    for letter in text:
        kind = ("X" if letter.isupper() else "x") if letter.isalpha() else "d" if letter.isdigit() else letter
        if found[-4:] != [kind] * 4:
            found.append(kind)
    return "".join(found)


def _maxout(x: Floats, weights: Mapping[str, Floats], layer: str) -> Floats:
    """The largest of a few linear maps, normalised: `[n, in]` to `[n, out]`."""
    pieces = weights[f"{layer}.W"]
    y = x @ pieces.reshape(-1, pieces.shape[-1]).T + weights[f"{layer}.b"].reshape(-1)
    y = y.reshape(len(x), *pieces.shape[:2]).max(2)
    y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + np.float32(1e-8))
    return y * weights[f"{layer}.G"] + weights[f"{layer}.beta"]
