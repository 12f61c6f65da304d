"""A region caption read as a noun phrase: head noun, attributes, number, and the whole it is a part of.

Plain rules of the English noun phrase (determiner, number, modifiers, head, "of"), enough for what CoCa models
say of a crop: "a red car", "a wheel of a blue car", "a group of three red balls", "green grass",
"a close up of a man in a striped shirt".
"""

import re
from dataclasses import dataclass, replace


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COLORS = _words(
    "red orange yellow green blue purple pink brown black white gray grey beige tan gold golden silver "
    "turquoise teal cyan magenta maroon navy violet cream"
)
SIZES = _words("small large big little tiny huge tall short giant")  # a crop cannot show them
_NUMBER_WORDS = "one two three four five six seven eight nine ten eleven twelve"
NUMBERS = {word: n for n, word in enumerate(_NUMBER_WORDS.split(), 1)}
SEVERAL = 0  # the number of a plural that was not counted
_SEVERAL_WORDS = _words("several many some few various multiple")
_DETERMINERS = _words("a an the this that these those its his her their another")
_SINGLE = frozenset(("a", "an", "another"))
_COLLECTIVES = _words("group pair bunch set row pile stack couple crowd herd flock collection cluster lot number line")
_STOPS = _words(
    "with without in on at by near next beside behind under over above below inside against from into through "
    "to for between among around across along and or but while as that which who is are was has have being "
    "it up down off out standing sitting there"
)
_ING_NOUNS = _words(
    "building ceiling string ring king painting clothing wing railing awning thing lightning icing "
    "swing spring earring evening morning drawing sling siding"
)
_ED_NOUNS = _words("bed shed sled seed weed reed feed")
_FRAMING = re.compile(
    r"^(?:there (?:is|are) |this is |it is |(?:[\w-]+ ){0,4}?"
    r"(?:close[- ]?up|picture|photo|photograph|image|view|shot|cropped)(?: (?:view|shot|picture|photo|image))? of )"
)
_IRREGULAR = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "leaves": "leaf",
    "geese": "goose", "mice": "mouse", "feet": "foot", "teeth": "tooth", "knives": "knife", "wolves": "wolf",
    "shelves": "shelf", "loaves": "loaf", "buses": "bus", "sheep": "sheep", "fish": "fish",
}  # fmt: skip
_PLURALS = {singular: plural for plural, singular in _IRREGULAR.items()}


@dataclass(frozen=True)
class Phrase:
    """A noun phrase. `noun` is singular; `number` 1 is one, `SEVERAL` an uncounted plural; `mass`: "grass", "sky"."""

    noun: str
    attributes: tuple[str, ...] = ()
    number: int = 1
    mass: bool = False
    whole: "Phrase | None" = None

    @property
    def name(self) -> str:
        """Without determiner and whole: "red car", "three red balls", "green grass"."""
        head = self.noun if self.number == 1 else plural(self.noun)
        count = [number_word(self.number)] if self.number > 1 else []
        return " ".join([*count, *self.attributes, head])

    @property
    def definite(self) -> str:
        """With "the": "the red car", "the wheel of the red car"."""
        return f"the {self.name}" + (f" of {self.whole.definite}" if self.whole else "")

    @property
    def indefinite(self) -> str:
        """With "a" where it fits: "a red car", "a group of three red balls", "green grass", "a wheel of a red car"."""
        text = self.name if self.mass else f"a group of {self.name}" if self.number != 1 else article(self.name)
        return text + (f" of {self.whole.indefinite}" if self.whole else "")

    @property
    def color(self) -> str:
        """The first colour word among the attributes, "" if there is none."""
        return next((word for word in self.attributes if word.split()[0] in COLORS), "")

    @property
    def countable(self) -> bool:
        """Whether it names one thing of its own: no part, no group, no stuff."""
        return self.number == 1 and not self.mass and self.whole is None

    def bare(self) -> "Phrase":
        """The noun alone, its number kept."""
        return replace(self, attributes=(), whole=None)


def parse(caption: str) -> Phrase | None:
    """Read the first noun phrase of a caption; None where it has no noun."""
    text = re.split(r"[.,;:!?]", _unframed(caption), maxsplit=1)[0]
    return _phrase(re.findall(r"[a-z0-9][a-z0-9'-]*", text))


def parse_all(caption: str) -> list[Phrase]:
    """Every noun phrase of a caption: "a dog and two balls on green grass" has three."""
    joints = "|".join(sorted(_STOPS))
    found = (parse(piece) for piece in re.split(rf"[.,;:!?]|\b(?:{joints})\b", _unframed(caption)))
    return [phrase for phrase in found if phrase and phrase.noun not in COLORS]


def singular(noun: str) -> str:
    """The singular: "balls" -> "ball", "boxes" -> "box", "people" -> "person"; what is no plural stays."""
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if len(noun) < 4 or noun.endswith(("ss", "us", "is")) or not noun.endswith("s"):
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun[:-2] if noun.endswith(("ches", "shes", "xes", "sses", "zes")) else noun[:-1]


def plural(noun: str) -> str:
    """The plural: "ball" -> "balls", "box" -> "boxes", "person" -> "people"."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith(("ch", "sh", "x", "s", "z")):
        return noun + "es"
    return noun[:-1] + "ies" if re.search(r"[^aeiou]y$", noun) else noun + "s"


def article(name: str) -> str:
    """The name with "a" or "an"."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def number_word(n: int) -> str:
    """A number as a word, "two"; in digits above twelve."""
    return next((word for word, value in NUMBERS.items() if value == n), str(n))


def _unframed(caption: str) -> str:
    """In lower case, without "there is" and "a picture of"."""
    text = caption.lower().strip() + " "
    while (stripped := _FRAMING.sub("", text)) != text:
        text = stripped
    return text


def _phrase(words: list[str]) -> Phrase | None:
    """Determiner, number, modifiers, head; then "of" another phrase: a collective, a whole, or one compound noun."""
    single = bool(words) and words[0] in _SINGLE
    words = words[bool(words) and words[0] in _DETERMINERS :]
    counted = _number(words[0]) if words else None
    words = words[counted is not None :]
    end = next((i for i in range(len(words)) if _ends(words, i)), len(words))
    head = [word for word in words[:end] if word not in SIZES]
    rest = words[end + 1 :] if end < len(words) and words[end] == "of" else []
    if not head:
        return None
    if rest and singular(head[-1]) in _COLLECTIVES:
        return _collective(rest)
    phrase = _head(head, counted, single)
    return _with_whole(phrase, rest) if rest else phrase


def _head(words: list[str], counted: int | None, single: bool) -> Phrase:
    *modifiers, noun = words
    base = singular(noun)
    several = counted if counted is not None else (1 if single or base == noun else SEVERAL)
    mass = not single and counted is None and base == noun
    return Phrase(noun if several == 1 else base, _attributes(modifiers), several, mass)


def _collective(rest: list[str]) -> Phrase | None:
    """The members of "a group of three red balls", as several."""
    members = _phrase(rest)
    if members is None or members.number != 1:
        return members
    return replace(members, number=SEVERAL, mass=False)


def _with_whole(phrase: Phrase, rest: list[str]) -> Phrase:
    """Of "a wheel of a car" a part; of "a glass of water", without a determiner, one compound noun."""
    whole = _phrase(rest)
    if whole is None:
        return phrase
    if rest[0] in _DETERMINERS:
        return replace(phrase, whole=replace(whole, whole=None))
    return replace(phrase, noun=f"{phrase.noun} of {whole.name}")


def _attributes(words: list[str]) -> tuple[str, ...]:
    """Modifiers in order; "red and white" is one."""
    return tuple(re.findall(r"\S+ and \S+|\S+", " ".join(words)))


def _number(word: str) -> int | None:
    if word in _SEVERAL_WORDS:
        return SEVERAL
    return NUMBERS.get(word, int(word) if word.isdigit() and int(word) > 0 else None)


def _ends(words: list[str], i: int) -> bool:
    """Whether the noun phrase stops before word `i`: a preposition, a conjunction, or a verb after the head."""
    word, last = words[i], i + 1 == len(words)
    if word == "and" and 0 < i < len(words) - 1:
        return not (words[i - 1] in COLORS and words[i + 1] in COLORS)
    if word == "of" or word in _STOPS or word in _DETERMINERS:
        return True
    if i == 0:
        return False
    if word.endswith("ing") and word not in _ING_NOUNS:
        return True
    return word.endswith("ed") and word not in _ED_NOUNS | COLORS and (last or words[i + 1] in _STOPS)
