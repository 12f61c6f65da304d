"""What is wrong with the text of a caption, before it is read for the things that it tells of.

Which language a text is in is told by the little words that each has of its own: lists of all words of English lack
"surfboard" and have "maison". A few words in another language that uses none of them ("rotes Auto") pass; they are read
as a name, and CLIP, which has to find the name in the mask's crop, is then the judge.
"""

import re

from ml.labeling.language.words import listed

ENDLESS = 2000  # letters; no more of a text is read for things
SHOWN = 80  # letters of a text that is told of
EMPTY = "empty"
TOO_LONG = f"endless, more than {ENDLESS:,} letters"
NO_WORD = "no word in it"
FOREIGN = "no English word in it"
NO_THING = "tells of no thing"

WORD = re.compile(r"[^\W\d_]+")
ENGLISH = listed(
    "the of and with this that these those at by from its his their near next between behind front has are "
    "two three four five six several some wearing standing sitting holding"
)
ARTICLES = listed("a an")  # of English where a text begins with one; elsewhere also of Spanish and Portuguese
# Little words of German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Danish, Polish, Turkish, Indonesian and
# Vietnamese; none that English has, too, or its names: "die", "van", "MIT", "Los Angeles", "Rio de Janeiro".
OTHERS = listed(
    "ein eine einem einen einer der das dem und auf vor im ist neben un une et avec dans sur devant una el uma um nel "
    "davanti gli het een voor framför på och ett og det jest przy bir yang dengan sebuah của và một"
)


def text_fault(text: str) -> str:
    """What is wrong with a caption: "", or that it is empty, endless, no words, or not English."""
    if not text.strip():
        return EMPTY
    if len(text) > ENDLESS:
        return TOO_LONG
    words = WORD.findall(text.lower())
    if not words:
        return NO_WORD
    return FOREIGN if _foreign(words) else ""


def _foreign(words: list[str]) -> bool:
    """Whether words are of another language: by its little words, or by letters that English has not."""
    if words[0] in ARTICLES or not ENGLISH.isdisjoint(words):
        return False
    strange = sum(not word.isascii() for word in words)
    return 2 * strange >= len(words) or not OTHERS.isdisjoint(words)
