"""What a query of the labels speaks of, as a reader would find it in the text: known without reading.

Reading tens of thousands of queries anew in every training stage took a twelfth of its time.
"""

from ml.labeling.geometry.neighbours import BETWEEN
from ml.labeling.language.phrases import Phrase
from ml.labeling.language.referents import UNREAD, Referents, placeless, prompt
from ml.labeling.relevance import Expression, Subject

GROUP = "a group of "


def spoken_of(expression: Expression) -> Referents:
    """The prompts of what is named and of what its place is told against; `UNREAD` where the text alone tells."""
    subject, anchor = expression.subject, expression.anchor
    two = expression.relation == BETWEEN and expression.other is None
    name = _prompt(subject, 1)
    against = _prompt(anchor, 2 if two else 1) if anchor is not None else ""
    return UNREAD if name is None or against is None else Referents(name, against)


def _prompt(subject: Subject, number: int) -> str | None:
    if subject.prompt.startswith(GROUP):
        return subject.prompt if number == 1 else None
    phrase = placeless(Phrase(subject.noun, subject.attributes, number))
    return prompt(phrase) if phrase else None
