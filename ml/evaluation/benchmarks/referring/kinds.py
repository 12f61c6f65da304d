"""What kind of expression a text is, from its words: benchmarks as distributed do not say."""

import re

RELATION = re.compile(
    r"\b(left of|right of|above|below|beneath|under|over|inside|overlapping|larger than|smaller than|behind|"
    r"in front of|next to|beside|near|between|closest to|on top of)\b"
)
SUPERLATIVE = re.compile(
    r"\b(\w+most|largest|biggest|smallest|tallest|shortest|closest|farthest|first|second|third|last|"
    r"on the (far )?(left|right|top|bottom)|(far|extreme) (left|right)|middle|left|right)\b"
)
GROUP = re.compile(r"\b(group of|two|three|four|five|six|several|both|all)\b")
PART = re.compile(r"\b(of|on) (the|a|an) \w+")
SCENE = re.compile(r"^(the )?(\w+ )?(sky|grass|ground|sand|water|sea|road|background)$")


def expression_kind(text: str) -> str:
    """One of relation, superlative, group, part, scene, attribute: the first whose words the text holds."""
    words = text.lower()
    patterns = {
        "relation": RELATION,
        "superlative": SUPERLATIVE,
        "group": GROUP,
        "part": PART,
        "scene": SCENE,
    }
    return next((kind for kind, pattern in patterns.items() if pattern.search(words)), "attribute")
