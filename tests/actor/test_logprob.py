import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sharpen.actor.logprob import token_logprob, wide_linear

N, H, V = 7, 5, 11


def case(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(3)
    hidden = torch.randn(N, H, generator=g, dtype=torch.float64)
    weight = torch.randn(V, H, generator=g, dtype=torch.float64)
    bias = torch.randn(V, generator=g, dtype=torch.float64)
    targets = torch.randint(V, (N,), generator=g)
    temperature = 0.3 + torch.rand(N, generator=g)
    return hidden.to(dtype), weight.to(dtype), bias.to(dtype), targets, temperature


def naive(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    temperature: Tensor | None,
    softcap: float | None = None,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    z = hidden @ weight.T
    z = (z if bias is None else z + bias) * scale
    if softcap is not None:
        z = softcap * torch.tanh(z / softcap)
    if temperature is not None:
        z = z / temperature[:, None].to(z.dtype)
    log = torch.log_softmax(z, -1)
    return log[torch.arange(len(targets)), targets], -(log.exp() * log).sum(-1)


@pytest.mark.parametrize("chunk", [1, 3, N, None])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("form", ["plain", "bias", "heat", "softcap", "all"])
def test_values_and_gradients_equal_the_naive_ones(chunk: int | None, dtype: torch.dtype, form: str) -> None:
    hidden, weight, bias, targets, temperature = case(dtype)
    b = bias if form in ("bias", "all") else None
    t = temperature if form in ("heat", "all") else None
    kind = {"softcap": 2.0 if form in ("softcap", "all") else None, "scale": 0.7 if form == "all" else 1.0}
    g = torch.Generator().manual_seed(4)
    left, right = torch.randn(N, generator=g, dtype=dtype), torch.randn(N, generator=g, dtype=dtype)
    results = []
    for ours in (True, False):
        leaves = [x.clone().requires_grad_() for x in (hidden, weight, *([] if b is None else [b]))]
        args = (leaves[0], leaves[1], leaves[2] if b is not None else None, targets, t)
        got = token_logprob(*args, entropy=True, chunk=chunk, **kind) if ours else naive(*args, **kind)
        assert got[1] is not None
        assert got[0].dtype == got[1].dtype == dtype
        (left @ got[0] + right @ got[1]).backward()
        results.append([*got, *(x.grad for x in leaves)])
    bound = 1e-12 if dtype == torch.float64 else 2e-5
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other, atol=bound, rtol=bound)


@pytest.mark.parametrize("which", [0, 1])
def test_gradient_of_one_result_alone(which: int) -> None:
    hidden, weight, _, targets, temperature = case(torch.float64)
    x, y = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    mine = token_logprob(x, weight, None, targets, temperature, entropy=True, chunk=2)[which]
    assert mine is not None
    mine.sum().backward()
    naive(y, weight, None, targets, temperature)[which].sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-12, rtol=1e-12)


def test_worked_by_hand() -> None:
    # logits (log 1, log 3): probabilities 1/4 and 3/4; entropy log 4 - 3/4 log 3
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [3.0]]).log().nan_to_num(neginf=0.0)
    logp, bits = token_logprob(hidden, weight, None, torch.tensor([1]), entropy=True)
    assert bits is not None
    assert logp.item() == pytest.approx(-0.2876820724517809)
    assert bits.item() == pytest.approx(0.5623351446188083)
    # at temperature 1/2 the odds are squared: 1/10 and 9/10
    logp, bits = token_logprob(hidden, weight, None, torch.tensor([0]), torch.tensor([0.5]))
    assert logp.item() == pytest.approx(-2.302585092994046)
    assert bits is None


def test_bfloat16_is_summed_in_float32() -> None:
    hidden, weight, bias, targets, temperature = case(torch.bfloat16)
    hidden, weight = hidden * 8, weight * 8
    logp, bits = token_logprob(hidden, weight, bias, targets, temperature, entropy=True, chunk=3)
    assert bits is not None
    assert logp.dtype == bits.dtype == torch.float32
    exact = naive(hidden.double(), weight.double(), bias.double(), targets, temperature)
    torch.testing.assert_close(logp, exact[0].float(), atol=2e-4, rtol=1e-5)
    torch.testing.assert_close(bits, exact[1].float(), atol=2e-4, rtol=1e-5)
    # rounding the logits to bfloat16 on the way would be off by far more
    rounded = torch.log_softmax((hidden @ weight.T + bias).float() / temperature[:, None], -1)
    assert (rounded[torch.arange(N), targets] - exact[0]).abs().max() > 0.05
    assert wide_linear(hidden, weight, bias).dtype == torch.float32


def test_gradients_have_the_type_of_their_leaf() -> None:
    hidden, weight, bias, targets, _ = case(torch.bfloat16)
    leaves = [x.requires_grad_() for x in (hidden, weight, bias)]
    token_logprob(*leaves, targets)[0].sum().backward()
    wide = [x.detach().double().requires_grad_() for x in leaves]
    naive(*wide, targets, None)[0].sum().backward()
    for leaf, other in zip(leaves, wide, strict=True):
        assert leaf.grad is not None
        assert leaf.grad.dtype == torch.bfloat16
        torch.testing.assert_close(leaf.grad.double(), other.grad, atol=2e-2, rtol=1e-2)


def test_autocast_does_not_round() -> None:
    hidden, weight, _, targets, _ = case(torch.float32)
    plain = token_logprob(hidden, weight, None, targets)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(token_logprob(hidden, weight, None, targets)[0], plain)


def test_a_frozen_head_gets_no_gradient_and_no_rows_give_none() -> None:
    hidden, weight, bias, targets, _ = case(torch.float32)
    frozen = hidden.clone().requires_grad_()
    token_logprob(frozen, weight, bias, targets)[0].sum().backward()
    assert weight.grad is None
    assert bias.grad is None
    assert frozen.grad is not None
    empty, head = hidden[:0].requires_grad_(), weight.clone().requires_grad_()
    logp, bits = token_logprob(empty, head, None, targets[:0], entropy=True)
    assert bits is not None
    assert logp.shape == bits.shape == (0,)
    (logp.sum() + bits.sum()).backward()
    assert torch.equal(head.grad, torch.zeros(V, H))


def test_a_chunk_of_no_rows_is_refused() -> None:
    hidden, weight, _, targets, _ = case(torch.float32)
    with pytest.raises(ValueError, match="chunk is a number of rows, at least 1; it was 0"):
        token_logprob(hidden, weight, None, targets, chunk=0)


class Largest(TorchDispatchMode):
    """The most elements a tensor made inside has, and the products made."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0
        self.products = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.numel())
        self.products += "mm" in func.__name__
        return out


@pytest.mark.parametrize("trained", [True, False])
def test_the_largest_tensor_is_one_chunk_of_logits(trained: bool) -> None:
    rows, size, vocab, chunk = 200, 4, 300, 6
    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, size, generator=g, requires_grad=True)
    weight = torch.randn(vocab, size, generator=g, requires_grad=trained)
    targets = torch.randint(vocab, (rows,), generator=g)
    with Largest() as seen:
        logp, bits = token_logprob(hidden, weight, None, targets, entropy=True, chunk=chunk, softcap=5.0)
        assert bits is not None
        assert seen.products == 34
        (logp.sum() + bits.sum()).backward()
    assert seen.elements == chunk * vocab
    # logits again, then one product for the gradient of hidden, one for that of the weight if it is trained
    assert seen.products == 34 * (4 if trained else 3)


def test_the_default_chunk_bounds_the_logits() -> None:
    vocab, rows = 2**20, 40
    weight = torch.zeros(vocab, 1)
    with Largest() as seen, torch.no_grad():
        logp, _ = token_logprob(torch.zeros(rows, 1), weight, None, torch.zeros(rows, dtype=torch.long))
    assert seen.elements == 2**24
    torch.testing.assert_close(logp, torch.full((rows,), -13.862943611198906))
