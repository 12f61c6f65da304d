import threading
from collections.abc import Iterator

import pytest

from ml.compute.ahead import ahead


def test_the_next_is_made_while_this_one_is_worked_on() -> None:
    made, taken = threading.Event(), []

    def items() -> Iterator[int]:
        yield 0
        made.set()
        yield 1

    for item in ahead(items()):
        assert made.wait(10)  # of the first item, the second has been asked for
        taken.append(item)
    assert taken == [0, 1]


def test_nothing_is_made_further_ahead_than_one() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    for item in ahead(items()):
        assert len(made) <= item + 2
        if item == 3:
            break
    assert len(made) <= 5


def test_what_making_raises_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"):
        for item in ahead(items()):
            seen.append(item)
    assert seen == [0] and list(ahead([])) == [] and list(ahead([None, 1])) == [None, 1]
