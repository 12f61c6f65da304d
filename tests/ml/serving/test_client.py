"""`arrcoc predict --server` gives what `arrcoc predict` gives, and says in a line why it cannot."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from ml.errors import UserError
from ml.release.runtime.predictor import Predictor, found
from ml.serving.client import predict
from ml.toytown.world.draw import draw
from ml.toytown.world.scene import scene
from orchestration.cli import app


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "town.png"
    Image.fromarray(draw(scene(0, 0, "tests")).image).save(path)
    return path


def test_a_server_answers_as_the_package_does(server, package: Path, picture: Path) -> None:
    out = picture.with_name("answer.png")
    command = ["predict", str(picture), " the house ", "--server", f"{server.url}/", "--out", str(out), "--json"]
    told = CliRunner().invoke(app, command, catch_exceptions=False)
    image = draw(scene(0, 0, "tests")).image
    wanted = found(*Predictor(package).predict(image, ["the house"]), ["the house"], 0)
    assert json.loads(told.stdout) == json.loads(json.dumps({**wanted, "overlay": str(out)}))
    with Image.open(out) as overlay:
        assert overlay.width > 1000


def test_a_refusal_and_a_server_that_is_away_are_one_line(server, picture: Path) -> None:
    with pytest.raises(UserError, match=r"refuses with 422: query: 600 letters; from 1 to 500"):
        predict(server.url, picture, "a" * 600, picture.with_name("a.png"))
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9 does not answer .*; start it: arrcoc serve"):
        predict("http://127.0.0.1:9", picture, "a", picture.with_name("a.png"))
