import pytest
import torch
from open_clip.transformer import MultimodalTransformer

from ml.models.frozen.decoding import CachedDecoder


@pytest.mark.parametrize("scale", [None, 0.5])
def test_a_token_at_a_time_is_the_whole_at_once(scale: float | None) -> None:
    torch.manual_seed(0)
    decoder = MultimodalTransformer(32, 2, 4, context_length=9, ls_init_value=scale, output_dim=50).eval()
    torch.nn.init.normal_(decoder.text_projection)
    image, words = torch.randn(5, 7, 32), torch.randn(5, 6, 32)
    with torch.no_grad():
        whole = decoder(image, words)
        stepwise = CachedDecoder(decoder, image)
        for t in range(6):
            torch.testing.assert_close(stepwise.step(words[:, t]), whole[:, t], rtol=1e-4, atol=1e-5)


def test_the_rest_goes_on() -> None:
    torch.manual_seed(0)
    decoder = MultimodalTransformer(32, 2, 4, context_length=9, output_dim=50).eval()
    torch.nn.init.normal_(decoder.text_projection)
    image, words = torch.randn(5, 7, 32), torch.randn(5, 3, 32)
    rows = torch.tensor([True, False, False, True, True])
    with torch.no_grad():
        stepwise = CachedDecoder(decoder, image)
        stepwise.step(words[:, 0])
        stepwise.keep(rows)
        last = [stepwise.step(words[rows, t]) for t in (1, 2)][-1]
        torch.testing.assert_close(last, decoder(image, words)[rows, 2], rtol=1e-4, atol=1e-5)
