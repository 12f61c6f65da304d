import pytest

from ml.params import Params
from ml.toytown.world.draw import Drawing, draw
from ml.toytown.world.scene import scene
from ml.workspace.settings import preset


@pytest.fixture(scope="session")
def drawings() -> list[Drawing]:
    return [draw(scene(0, index, "tests")) for index in range(24)]


@pytest.fixture(scope="session")
def few() -> Params:
    """Toytown with a handful of images everywhere."""
    params = preset("toytown")
    counts = dict.fromkeys(params.toytown.model_dump(), 4) | {"images_per_shard": 12}
    return params.model_copy(update={"toytown": params.toytown.model_copy(update=counts)})
