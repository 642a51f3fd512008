import math

import pytest
import torch

from sharpen.actor.engine import pick as pick_module
from sharpen.actor.engine.pick import pick, truncate
from sharpen.actor.engine.stop import StopStrings
from sharpen.maths import categorical, uniforms

MASK = 2**64 - 1


def mixed(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63 - 1, -(2**63), 123456789])
@pytest.mark.parametrize("position", [0, 1, 4095])
def test_uniforms_are_splitmix64_in_unsigned_arithmetic(seed: int, position: int) -> None:
    golden = 0x9E3779B97F4A7C15
    key = mixed((seed + golden) & MASK)
    expected = (mixed((key + golden * (position + 1)) & MASK) >> 11) / 2**53
    assert uniforms(torch.tensor([seed]), position).item() == expected
    assert uniforms(torch.tensor([seed, 0]), torch.tensor([position, 3]))[0].item() == expected


def test_categorical_inverts_the_distribution_function() -> None:
    logits = torch.tensor([0.0, 0.25, 0.0, 0.5, 0.25, 0.0]).log().repeat(6, 1)
    u = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.7501, 1 - 2**-53], dtype=torch.float64)
    assert categorical(logits, u).tolist() == [1, 1, 3, 3, 4, 4]
    assert categorical(logits + 7, u).tolist() == [1, 1, 3, 3, 4, 4]


def test_truncation_worked_by_hand() -> None:
    log = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]]).log()
    both = log[[0, 0, 0, 1, 1, 0]]
    top_k = torch.tensor([0, 2, 3, 2, 0, 0])
    top_p = torch.tensor([0.6, 1.0, 0.5, 1.0, 0.5, 1.0])
    expected = torch.tensor(
        [
            [0, 4 / 7, 0, 3 / 7],  # 0.4 is short of 0.6, 0.7 is not
            [0, 4 / 7, 0, 3 / 7],
            [0, 4 / 7, 0, 3 / 7],  # 0.4 of 0.9 left by top-k is short of a half
            [0.5, 0.5, 0, 0],  # ties: the lowest index first
            [0.5, 0.5, 0, 0],
            [0.1, 0.4, 0.2, 0.3],
        ]
    )
    torch.testing.assert_close(truncate(both, top_k, top_p).exp(), expected)


def test_rows_in_turns_equal_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(1)
    args = (
        torch.randn(7, 9, generator=g),
        torch.rand(7, generator=g, dtype=torch.float64),
        torch.tensor([1.0, 0.0, 0.5, 2.0, 1.0, 0.0, 0.3]),
        torch.tensor([0, 3, 0, 2, 0, 0, 0]),
        torch.tensor([1.0, 1.0, 0.5, 1.0, 0.9, 1.0, 1.0]),
    )
    whole = pick(*args)
    monkeypatch.setattr(pick_module, "ELEMENTS", 20)
    for a, b in zip(whole, pick(*args), strict=True):
        assert torch.equal(a, b)
    assert whole.token[1] == args[0][1].argmax()
    assert whole.logp[1] == 0
    torch.testing.assert_close(whole.logp_full[1], torch.log_softmax(args[0][1], 0).max())


def test_impossible_tokens_add_nothing_to_the_entropy() -> None:
    logits = torch.tensor([[0.0, -math.inf, 0.0]])
    got = pick(logits, torch.tensor([0.9], dtype=torch.float64), torch.ones(1), None, None)
    assert got.token.item() == 2
    assert got.entropy.item() == pytest.approx(math.log(2))


PIECES = ["", "<", "/", "a", ">", "</a", ">x", " ", "\n", "word", "é", "..."]


def test_stop_strings_are_found_when_completed() -> None:
    looked: list[int] = []

    def decode(tokens: tuple[int, ...]) -> str:
        looked.append(len(tokens))
        return "".join(PIECES[t] for t in tokens)

    stop = StopStrings(("</a>", "é."), decode)
    tokens: list[int] = []
    found = []
    for t in [9] * 40 + [1, 0, 2, 3, 0, 6]:
        tokens.append(t)
        found.append(stop.completed(tokens))
    assert found == [False] * 45 + [True]
    # tokens that cannot complete a string are decoded once, alone; then a window, and once the whole to make sure
    assert looked.count(1) == 6
    assert sorted(n for n in looked if n > 1) == [8, 8, 8, 46]
    assert stop.completed([9, 10, 11])
    assert not stop.completed([9, 10, 9])
    assert stop.completed([5, 4])


def test_stop_strings_of_torn_characters_and_spaces() -> None:
    def bytes_of(tokens: tuple[int, ...]) -> str:
        return bytes(tokens).decode("utf-8", errors="replace")

    stop = StopStrings(("ünd…",), bytes_of)
    text = list("für ünd…".encode())
    assert [stop.completed(text[:n]) for n in range(1, len(text) + 1)] == [False] * (len(text) - 1) + [True]

    def stripped(tokens: tuple[int, ...]) -> str:
        return "".join(("", " so", " ", "x")[t] for t in tokens).removeprefix(" ")

    blank = StopStrings(("x ",), stripped)
    assert [blank.completed(t) for t in ([3], [3, 2], [3, 1], [1, 2])] == [False, True, True, False]
