import torch
import torch.nn.functional as F

from ml.models.arrcoc import ARRCOC
from ml.models.grounding import POINTERS, Grounding, pooled_over_regions


def ground(model: ARRCOC, inputs) -> Grounding:
    grid = model.adapt(inputs.features)
    return model.ground(grid, inputs.regions(model), inputs.text)


def test_logits_are_four_times_the_grid_and_pointers_have_its_size(model: ARRCOC, inputs) -> None:
    pixels, pointed = ground(model, inputs)
    assert (pixels.shape, pointed.shape) == ((2, 3, 32, 32), (2, 3, POINTERS, 8, 8))


def test_anchor_and_name_are_pointed_to_by_what_is_spoken_of(model: ARRCOC, inputs) -> None:
    """Each pointer moves by its own referent's match with grid and regions; by none, where a query leans on nothing."""
    grid, head = model.adapt(inputs.features), model.grounding_head
    bare = inputs.but(referents=torch.zeros_like(inputs.referents))
    moved = ground(model, inputs).pointed - ground(model, bare).pointed
    shown, nothing = (model.similarity.shown(inputs.regions(model), asked.referents).logits for asked in (inputs, bare))
    cells = head.seen(grid)
    for pointer, referent in ((0, 1), (1, 0)):  # the anchor first here, the name first there
        for b in range(2):
            for q in range(3):
                kernel = head.spoken(inputs.referents[b, q, referent] * model.config.embed_dim**0.5)
                wanted = torch.einsum("p,phw->hw", kernel, cells[b]) / len(kernel) ** 0.5
                wanted += (shown - nothing)[b, q, referent]
                torch.testing.assert_close(moved[b, q, pointer], wanted, atol=1e-4, rtol=1e-4)
    assert not moved[:, 0, 0].any() and (moved[:, 1:].flatten(3).std(-1) > 0.01).all()


def test_padded_tokens_change_nothing(model: ARRCOC, inputs) -> None:
    noise = torch.where(inputs.text_mask.unsqueeze(-1), inputs.tokens, 100 * torch.randn_like(inputs.tokens))
    longer = inputs.but(
        tokens=F.pad(noise, (0, 0, 0, 4), value=3.0), text_mask=F.pad(inputs.text_mask, (0, 4), value=False)
    )
    torch.testing.assert_close(ground(model, longer).pixels, ground(model, inputs).pixels, atol=1e-5, rtol=1e-5)


def test_queries_do_not_see_each_other(model: ARRCOC, inputs) -> None:
    parts = ("tokens", "pooled", "text_mask", "referents")
    alone = inputs.but(**{name: getattr(inputs, name)[:, 1:2] for name in parts})
    together = ground(model, inputs).pixels
    torch.testing.assert_close(ground(model, alone).pixels, together[:, 1:2], atol=1e-5, rtol=1e-5)
    assert (together[:, 0] - together[:, 1]).abs().max() > 1e-3


def test_a_query_of_padding_alone_stays_finite(model: ARRCOC, inputs) -> None:
    empty = inputs.but(text_mask=torch.zeros_like(inputs.text_mask))
    assert torch.isfinite(ground(model, empty).pixels).all()


def test_every_parameter_learns(model: ARRCOC, inputs) -> None:
    ground(model, inputs).pixels.square().mean().backward()
    idle = [name for name, p in model.grounding_head.named_parameters() if p.grad is None or not p.grad.any()]
    # A constant added to every key leaves a softmax as it is.
    assert not [name for name in idle if not name.endswith("key.bias")]


def test_pooling_over_regions_by_loops() -> None:
    logits, coverage = torch.randn(1, 2, 16, 16), torch.rand(1, 3, 4, 4)
    found = pooled_over_regions(logits, coverage)
    for q in range(2):
        for n in range(3):
            mean = strongest = 0.0
            for i in range(4):
                for j in range(4):
                    cell = logits[0, q, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].sigmoid().mean()
                    mean += float(cell * coverage[0, n, i, j] / coverage[0, n].sum())
                    strongest = max(strongest, float(cell * coverage[0, n, i, j] / coverage[0, n].max()))
            torch.testing.assert_close(found[0, q, n], torch.tensor([mean, strongest]))
