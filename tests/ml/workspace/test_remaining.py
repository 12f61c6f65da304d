"""How long the rest takes."""

import time

import pytest

from ml.workspace.remaining import Remaining, in_words


def test_the_pace_since_the_first_count_tells_how_long_the_rest_takes(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    remaining = Remaining()
    assert remaining.words(55, 100) == ""  # what was done before was not seen being done
    now += 20
    assert remaining.words(60, 100) == ", 3 min left"  # 5 in 20 s, 40 to go
    assert remaining.words(100, 100) == ""


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")])
def test_a_length_of_time_is_said_in_one_unit(seconds, words):
    assert in_words(seconds) == words
