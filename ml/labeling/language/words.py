"""Single words: their forms (singular, plural, article, number), and what an adjective says of a thing."""

from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import inflect


def listed(words: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(words.split())


SEVERAL = 0  # the number of a plural that was not counted

COLORS = listed(
    "red orange yellow green blue purple pink brown black white gray grey beige tan gold golden silver "
    "turquoise teal cyan magenta maroon navy violet cream aqua crimson lavender khaki"
)
SHADES = listed("light dark bright pale deep neon royal hot lime olive baby sky")
SIZES = listed("small large big little tiny huge tall short giant")  # a crop cannot show them
MATERIALS = listed(
    "wooden wood metal metallic steel iron brick stone concrete plastic glass leather denim paper cardboard "
    "wicker marble rubber cotton wool woolen silk velvet lace straw bamboo cement ceramic"
)
SEVERAL_WORDS = listed("several many some few various multiple numerous couple dozen dozens")
MOST_IN_WORDS = 12


@cache
def _engine() -> "inflect.engine":
    """Imported late, and without the run-time type checks of its functions: compiling those takes a second."""
    import typeguard

    checked = typeguard.typechecked
    setattr(typeguard, "typechecked", lambda function: function)  # noqa: B010
    try:
        import inflect
    finally:
        setattr(typeguard, "typechecked", checked)  # noqa: B010
    return inflect.engine()


@cache
def _values() -> dict[str, int]:
    return {str(_engine().number_to_words(str(n))): n for n in range(1, 100)}


@lru_cache(maxsize=1 << 16)
def singular(noun: str) -> str:
    """The singular: "balls" -> "ball", "boxes" -> "box", "people" -> "person"; what is no plural stays."""
    if noun.endswith(("ss", "us", "is")) or len(noun) < 3:
        return noun
    found = _engine().singular_noun(noun)
    return found if found and plural(found) == noun else noun


@lru_cache(maxsize=1 << 16)
def plural(noun: str) -> str:
    """The plural: "ball" -> "balls", "box" -> "boxes", "person" -> "people"."""
    return _engine().plural_noun(noun) or noun


@lru_cache(maxsize=1 << 16)
def article(name: str) -> str:
    """The name with "a" or "an"."""
    return _engine().a(name)


def number_word(n: int) -> str:
    """A number as a word, "two"; in digits above twelve."""
    return str(_engine().number_to_words(str(n))) if n <= MOST_IN_WORDS else str(n)


def number(word: str) -> int | None:
    """What a word counts: "two", "12", or `SEVERAL`; None where it counts nothing."""
    if word in SEVERAL_WORDS:
        return SEVERAL
    return _values().get(word, int(word) if word.isdecimal() and 0 < len(word) < 6 and int(word) else None)


def answer_number(answer: str) -> int:
    """The number that an answer is, "two", "0" or "zero"; -1 where it is none."""
    if answer in ("zero", "0"):
        return 0
    return number(answer) or -1


def attribute_kind(attribute: str) -> str:
    """What an attribute says of a thing: colour, size, material, number or other."""
    words = attribute.replace("-", " ").replace(",", " ").split()
    if COLORS.intersection(words):
        return "colour"
    if SIZES.intersection(words):
        return "size"
    if MATERIALS.intersection(words):
        return "material"
    return "number" if words and number(words[0]) is not None else "other"
