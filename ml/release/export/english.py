"""What `ml.labeling.language.tagger` needs of a spaCy model, written into a folder."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from ml.errors import UserError
from ml.labeling.language.english import load
from ml.labeling.language.tagger import CONFIG, WEIGHTS
from ml.workspace.atomic import write_json

ATTRIBUTES = ["NORM", "PREFIX", "SUFFIX", "SHAPE", "SPACY", "IS_SPACE"]


def write_tagger(model: str, out: Path) -> None:
    """Write the tagger of an installed spaCy model.

    Raises:
        UserError: there is no such model, or it tags in another way than spaCy's small and middle ones do.
    """
    nlp: Any = load(model)
    embed, encode = _layers(nlp, model)
    weights = {f"table{i}": node.get_param("E") for i, node in enumerate(_named(embed, "hashembed"))}
    weights |= _maxout(embed, "embed", 0)
    depth = len(_named(encode, "maxout"))
    for layer in range(depth):
        weights |= _maxout(encode, f"encode{layer}", layer)
    softmax = _named(nlp.get_pipe("tagger").model, "softmax")[0]
    weights |= {"tag.W": softmax.get_param("W"), "tag.b": softmax.get_param("b")}
    # As bytes: `save_file` would make a file that its writer alone can read, and servers run as somebody else.
    (out / WEIGHTS).write_bytes(save({name: np.ascontiguousarray(value) for name, value in weights.items()}))
    seeds = [node.attrs["seed"] for node in _named(embed, "hashembed")]
    write_json(out / CONFIG, {"rules": _rules(nlp), **_norms(nlp), "seeds": seeds, "depth": depth, **_labels(nlp)})


def _layers(nlp: Any, model: str) -> tuple[Any, Any]:
    """The two halves of the network: what embeds a word, and what sees its neighbours."""
    names = nlp.pipe_names
    parts = nlp.get_pipe("tok2vec").model.layers if names == ["tok2vec", "tagger"] else []
    columns = [node.attrs["columns"] for part in parts for node in _named(part, "extract_features")]
    if len(parts) != 2 or columns != [ATTRIBUTES]:
        raise UserError(
            f"labels.language: {model} has {names} that read {columns}; a release needs tok2vec and tagger that read "
            f"{ATTRIBUTES}, as en_core_web_sm's do: name that"
        )
    return parts[0], parts[1]


def _named(model: Any, name: str) -> list[Any]:
    return [node for node in model.walk() if node.name == name]


def _maxout(model: Any, name: str, which: int) -> dict[str, Any]:
    maxout, norm = _named(model, "maxout")[which], _named(model, "layernorm")[which]
    return {
        f"{name}.W": maxout.get_param("W"),
        f"{name}.b": maxout.get_param("b"),
        f"{name}.G": norm.get_param("G"),
        f"{name}.beta": norm.get_param("b"),
    }


def _rules(nlp: Any) -> dict[str, Any]:
    from spacy.attrs import NORM, ORTH

    cut = nlp.tokenizer
    words = {piece: [[part[ORTH], part.get(NORM, "")] for part in parts] for piece, parts in sorted(cut.rules.items())}
    return {
        "prefix": cut.prefix_search.__self__.pattern,
        "suffix": cut.suffix_search.__self__.pattern,
        "infix": cut.infix_finditer.__self__.pattern,
        "url": cut.url_match.__self__.pattern,
        "exceptions": words,
    }


def _norms(nlp: Any) -> dict[str, Any]:
    """Norms of words that are not themselves in lower case, and the numbers of strings that have one."""
    from spacy.lang.norm_exceptions import BASE_NORMS
    from spacy.symbols import IDS

    table = nlp.vocab.lookups.get_table("lexeme_norm", {})
    return {
        "norms": dict(sorted(BASE_NORMS.items())),
        "hashed_norms": {str(key): str(norm) for key, norm in sorted(table.items())},
        "symbols": {name: number for name, number in IDS.items() if name},
    }


def _labels(nlp: Any) -> dict[str, list[str]]:
    return {"labels": list(nlp.get_pipe("tagger").labels)}
