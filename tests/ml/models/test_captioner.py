import torch
import torch.nn.functional as F

from ml.models.captioner import Captioner

START, END = 1, 2


def make(layers: int = 2) -> Captioner:
    return Captioner(vocab_size=12, context_length=8, dim=16, heads=2, layers=layers, dropout=0.0)


def test_a_token_sees_only_those_before_it() -> None:
    captioner, memory, ids = make(), torch.randn(2, 3, 16), torch.randint(3, 12, (2, 6))
    changed = ids.clone()
    changed[:, 4] = (ids[:, 4] + 1) % 12
    before, after = captioner(memory, ids), captioner(memory, changed)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().max() > 1e-3


def test_masked_memory_changes_nothing() -> None:
    captioner, memory, ids = make(), torch.randn(2, 3, 16), torch.randint(3, 12, (2, 6))
    longer, mask = F.pad(memory, (0, 0, 0, 2), value=5.0), torch.tensor([[True] * 3 + [False] * 2] * 2)
    torch.testing.assert_close(captioner(longer, ids, mask), captioner(memory, ids))


def test_generation_is_greedy_and_ends() -> None:
    captioner, memory = make(), torch.randn(3, 2, 16)
    ids = captioner.generate(memory, START, END, max_len=8)
    assert ids[:, 0].tolist() == [START] * 3
    for m in range(3):
        for at in range(1, ids.shape[1]):
            ended = END in ids[m, 1:at].tolist()
            best = captioner(memory[m : m + 1], ids[m : m + 1, :at])[0, -1].argmax().item()
            assert ids[m, at] == (END if ended else best)


def test_it_learns_to_say_what_the_memory_holds() -> None:
    captioner, memory = make(layers=1), torch.eye(4, 16).unsqueeze(1) * 4
    told = torch.tensor([[START, 3, 4, END], [START, 5, END, END], [START, 6, 7, END], [START, 8, END, END]])
    optimizer = torch.optim.Adam(captioner.parameters(), lr=1e-2)
    for _ in range(60):
        loss = F.cross_entropy(captioner(memory, told[:, :-1]).flatten(0, 1), told[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(captioner.generate(memory, START, END, max_len=4), told)
