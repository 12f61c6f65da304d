"""Kinds of expressions from their words."""

import pytest

from ml.evaluation.benchmarks.referring.kinds import expression_kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("red car", "attribute"),
        ("the small red car", "attribute"),
        ("the red car left of the house", "relation"),
        ("ball to the left of the tree", "relation"),
        ("car larger than the boat", "relation"),
        ("leftmost car", "superlative"),
        ("car on the left", "superlative"),
        ("largest ball", "superlative"),
        ("the wheel of the red car", "part"),
        ("a group of three balls", "group"),
        ("two red balls", "group"),
        ("the green grass", "scene"),
        ("skier in blue vest", "attribute"),
        ("person on left in striped shirt", "superlative"),
        ("lady on left wearing visor", "superlative"),
        ("second guy from left", "superlative"),
        ("the tallest giraffe", "superlative"),
        ("a man in a forest", "attribute"),
        ("guy on ground", "relation"),
        ("girl holding plate", "relation"),
        ("table behind pizza box", "relation"),
        ("", "attribute"),
    ],
)
def test_kind(text: str, kind: str) -> None:
    assert expression_kind(text) == kind
