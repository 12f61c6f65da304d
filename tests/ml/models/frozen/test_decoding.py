import pytest
import torch
from open_clip.transformer import MultimodalTransformer, TextTransformer

from ml.models.frozen.clip import read_text
from ml.models.frozen.decoding import CachedDecoder


@pytest.fixture(params=[True, False], ids=["class token", "plain"])
def tower(request: pytest.FixtureRequest) -> TextTransformer:
    """The text tower of a published CoCa, with a class token behind the words, and one without, as toytown's."""
    torch.manual_seed(0)
    return TextTransformer(9, 50, 32, 4, 2, embed_cls=request.param, output_tokens=True).eval()


def decoder(scale: float | None = None) -> MultimodalTransformer:
    made = MultimodalTransformer(32, 2, 4, context_length=9, ls_init_value=scale, output_dim=50).eval()
    torch.nn.init.normal_(made.text_projection)
    return made


@pytest.mark.parametrize("scale", [None, 0.5])
@torch.no_grad()
def test_a_token_at_a_time_is_the_whole_at_once(tower: TextTransformer, scale: float | None) -> None:
    said, image, ids = decoder(scale), torch.randn(5, 7, 32), torch.randint(1, 50, (5, 6))
    whole = said(image, read_text(tower, ids)[1])
    stepwise = CachedDecoder(tower, said, image)
    for t in range(6):
        torch.testing.assert_close(stepwise.step(ids[:, t]), whole[:, t], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_rest_goes_on(tower: TextTransformer) -> None:
    said, image, ids = decoder(), torch.randn(5, 7, 32), torch.randint(1, 50, (5, 3))
    rows = torch.tensor([True, False, False, True, True])
    stepwise = CachedDecoder(tower, said, image)
    stepwise.step(ids[:, 0])
    stepwise.keep(rows)
    last = [stepwise.step(ids[rows, t]) for t in (1, 2)][-1]
    torch.testing.assert_close(last, said(image, read_text(tower, ids)[1])[rows, 2], rtol=1e-4, atol=1e-5)
