"""BLEU against sacrebleu's own corpus score; answers as VQA's evaluation compares them."""

import pytest
from sacrebleu.metrics import BLEU

from ml.evaluation.metrics.spoken_scores import Spoken, answer_scores, caption_scores, plain, vqa_accuracy

SAID = ["a red car on the grass under a blue sky .", "two boats in the water .", "a tree", ""]
TOLD = [
    ["A red car on green grass under a blue sky .", "a red car left of a tree under the sky ."],
    ["Two white boats in the water .", "a boat in water ."],
    ["a house and a tree on the grass .", "one small tree on the sand ."],
    ["a dog .", "the dog on the road ."],
]


def spoken(said: list[str]) -> list[Spoken]:
    return [Spoken(str(i), "caption", text, {"references": TOLD[i]}) for i, text in enumerate(said)]


def answered(said: str, *people: str, kind: str = "other") -> Spoken:
    return Spoken(said, kind, said, {"answer": people[0], "answers": list(people)})


def test_bleu_is_the_corpus_score_of_sacrebleu() -> None:
    scores, intervals = caption_scores(spoken(SAID), seed=0)
    official = BLEU(lowercase=True, smooth_method="none").corpus_score(SAID, list(zip(*TOLD, strict=True)))
    assert scores["BLEU-4"] == pytest.approx(official.score / 100) and 0.2 < scores["BLEU-4"] < 0.8
    low, high = intervals["BLEU-4"]
    assert low <= scores["BLEU-4"] <= high


def test_captions_of_other_images_score_less_and_the_truth_itself_everything() -> None:
    scores, _ = caption_scores(spoken([row[0] for row in TOLD]), seed=0)
    assert scores["BLEU-4"] == pytest.approx(1) and scores["BLEU-4 of the next image"] < 0.5


@pytest.mark.parametrize(
    ("one", "other"), [("A red car.", "red car"), ("two", "2"), ("the boat", "a boat"), ("Yes!", "yes")]
)
def test_answers_are_compared_as_vqa_does(one: str, other: str) -> None:
    assert plain(one) == plain(other)


@pytest.mark.parametrize(("agree", "accuracy"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_vqa_accuracy_counts_the_people_who_agree(agree: int, accuracy: float) -> None:
    people = ["green"] * agree + ["red"] * (10 - agree)
    assert vqa_accuracy(Spoken("a", "other", "green", {"answers": people})) == pytest.approx(accuracy)


def test_the_commonest_answer_of_a_type_stands_beside() -> None:
    found = [
        answered("yes", "yes", kind="yes/no"),
        answered("yes", "no", kind="yes/no"),
        answered("a red car", "red car"),
    ]
    scores = answer_scores(found)
    assert scores["exact match"] == scores["commonest answer"] == pytest.approx(2 / 3)
