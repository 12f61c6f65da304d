"""What a person writes to say what is searched, and what is said of what cannot be."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ml.errors import UserError
from orchestration.tuning.space import changed, current, parse


def test_ranges_and_choices_have_the_type_of_the_param(town) -> None:
    specs = [
        *("relevance_learning.lr=1e-4..1e-2:log", "training.absent=0.1..0.4", "relevance_learning.steps=2..6"),
        *("model.frozen_similarity=true,false", "model.heads=2,4", "training.schedule=cosine,constant"),
    ]
    assert parse(town.ws, town.params, specs) == {
        "relevance_learning.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "training.absent": FloatDistribution(0.1, 0.4),
        "relevance_learning.steps": IntDistribution(2, 6),
        "model.frozen_similarity": CategoricalDistribution([True, False]),
        "model.heads": CategoricalDistribution([2, 4]),
        "training.schedule": CategoricalDistribution(["cosine", "constant"]),
    }


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("relevance_learning.lr", "found no range; write KEY=LOW..HIGH"),
        ("relevance_learning.rate=1..2", "relevance_learning.rate: no such param; arrcoc params shows them all"),
        ("relevance_learning=1..2", "found a section, wanted one value in it"),
        ("relevance_learning.lr=0.1..0.01", "`low <= high` must hold"),
        ("relevance_learning.lr=low..high", "could not convert string to float"),
        ("relevance_learning.steps=1.5..3", "invalid literal for int"),
        ("model.frozen_similarity=yes,no", "found 'yes', wanted true or false"),
        ("model.frozen_similarity=0..1", "it is (True|False), which has no range"),
        ("labels.max_regions=8..24", "pseudo_labels reads it, whose output all trials share"),
        ("release.max_drop=0.1..1.0", "found no stage of .* that reads it"),
        ("training.processes=1..2", "found no stage of .* that reads it"),
    ],
)
def test_what_cannot_be_searched_is_one_line(town, spec, told) -> None:
    with pytest.raises(UserError, match=told):
        parse(town.ws, town.params, [spec])


def test_params_are_changed_and_checked(town) -> None:
    values = {"relevance_learning.lr": 0.5, "training.absent": 0.3}
    params = changed(town.params, values)
    assert current(params, parse(town.ws, town.params, [f"{key}=0.1..0.9" for key in values])) == values
    with pytest.raises(UserError, match=r"^training\.absent=2\.0: .*less than or equal to 1"):
        changed(town.params, {"training.absent": 2.0})
