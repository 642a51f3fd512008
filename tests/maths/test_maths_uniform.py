"""Counter-based random numbers against published outputs and a plain-Python generator."""

import math
import random

import pytest
import torch

from sharpen.maths import categorical, splitmix64, uniforms

MASK = 2**64 - 1
EXTREMES = [0, 1, -1, 2**63 - 1, -(2**63), 1234567, 0x0123456789ABCDEF]


class Plain:
    """SplitMix64 in unbounded integers, one number after another."""

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def take(self, n: int) -> list[int]:
        return [self.next() for _ in range(n)]


def unsigned(x: torch.Tensor) -> list[int]:
    return [v & MASK for v in x.tolist()]


def plain_uniform(seed: int, position: int) -> float:
    return (Plain(Plain(seed).next()).take(position + 1)[-1] >> 11) / 2**53


def test_published_outputs():
    # the first outputs from seed 1234567, as printed for the reference C code
    want = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert Plain(1234567).take(5) == want
    assert unsigned(splitmix64(torch.tensor(1234567), torch.arange(5))) == want
    assert unsigned(splitmix64(torch.tensor([0]), torch.tensor([0]))) == [0xE220A8397B1DCDAF]


@pytest.mark.parametrize("seed", EXTREMES)
def test_every_bit_agrees_with_plain_python(seed):
    assert unsigned(splitmix64(torch.tensor(seed), torch.arange(67))) == Plain(seed).take(67)


def test_uniforms_known_answers():
    rng = random.Random(0)
    seeds = EXTREMES + [rng.getrandbits(64) - 2**63 for _ in range(30)]
    at = [rng.randrange(40) for _ in seeds]
    assert uniforms(torch.tensor(seeds), torch.tensor(at)).tolist() == [
        plain_uniform(s, p) for s, p in zip(seeds, at, strict=True)
    ]
    assert uniforms(torch.tensor(seeds), 5).tolist() == [plain_uniform(s, 5) for s in seeds]


def test_a_draw_depends_on_its_own_seed_and_position_only():
    seeds = torch.arange(100) * 7 - 50
    together = uniforms(seeds, 3)
    assert together.dtype == torch.float64
    assert together.tolist() == [float(uniforms(seeds[i : i + 1], 3)) for i in range(100)]
    assert uniforms(seeds.flip(0), 3).flip(0).equal(together)
    assert uniforms(seeds, torch.full((100,), 3)).equal(together)
    assert uniforms(seeds[:0], 0).tolist() == []


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def test_distribution():
    n = 40_000
    one = uniforms(torch.full((n,), 42), torch.arange(n))  # one request, many positions
    many = uniforms(torch.arange(n), 0)  # neighbouring requests, one position
    shifted = uniforms(torch.arange(n) * -7046029254386353131, 0)  # seeds that differ by the generator's own step
    for u in (one, many, shifted):
        assert float(u.min()) >= 0
        assert float(u.max()) < 1
        assert float(u.mean()) == pytest.approx(0.5, abs=0.0075)  # five standard errors
        assert float(u.var()) == pytest.approx(1 / 12, abs=0.002)
        counts = torch.bincount((u * 50).long(), minlength=50)
        assert float(((counts - n / 50) ** 2 / (n / 50)).sum()) < 110  # chi-square, 49 degrees: 1e-6 above
        for lag in (1, 2, 64):
            assert abs(correlation(u[:-lag], u[lag:])) < 0.025
    assert abs(correlation(many, uniforms(torch.arange(n), 1))) < 0.025
    assert abs(correlation(many, uniforms(torch.arange(n) + 1, 0))) < 0.025
    assert len(set(one.tolist()) | set(many.tolist()) | set(shifted.tolist())) > 3 * n - 10
    # streams whose seeds differ by the generator's own step are not one stream shifted
    a, b = (uniforms(torch.tensor([s] * 64), torch.arange(64)) for s in (5, 5 - 7046029254386353131))
    assert not set(a.tolist()) & set(b.tolist())


def test_uniforms_refusals():
    with pytest.raises(ValueError, match=r"seeds must be int64\[n\], not torch.float32 \[2\]"):
        uniforms(torch.zeros(2), 0)
    with pytest.raises(ValueError, match=r"seeds must be int64\[n\], not torch.int64 \[\]"):
        uniforms(torch.tensor(3), 0)
    for bad in (-1, 0.5, torch.tensor([0, 1, 2]), torch.tensor([0, -1])):
        with pytest.raises(ValueError, match=r"position must be one whole number >= 0 or int64\[2\] of them"):
            uniforms(torch.tensor([1, 2]), bad)


def logs(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64).log()


LAST = 1 - 2.0**-53


def test_categorical_golden():
    p = logs([0.25, 0.5, 0.25]).expand(6, 3)
    u = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, LAST], dtype=torch.float64)
    assert categorical(p, u).tolist() == [0, 0, 1, 1, 2, 2]
    # logits need no normalisation; a shift rounds them, so keep off the borders
    u = torch.tensor([0.0, 0.2499, 0.2501, 0.7499, 0.7501, 1 - 2.0**-24])
    assert categorical(p - 3000, u).tolist() == [0, 0, 1, 1, 2, 2]
    assert categorical(p.float() + 40, u).tolist() == [0, 0, 1, 1, 2, 2]
    assert categorical(torch.zeros(2, 1), torch.tensor([0.0, LAST], dtype=torch.float64)).tolist() == [0, 0]
    assert categorical(torch.zeros(0, 4), torch.zeros(0)).tolist() == []


def test_probability_zero_is_never_drawn_at_the_ends():
    edges = torch.tensor([0.0, 2.0**-1074, 2.0**-53, 0.5, 1 - 2.0**-52, LAST], dtype=torch.float64)
    row = logs([0.0, 0.0, 0.1, 0.0, 0.2, 0.7, 0.0, 0.0]).expand(6, 8)
    assert categorical(row, edges).tolist() == [2, 2, 2, 5, 5, 5]
    # one alternative only, wherever it stands
    for at in range(8):
        row = torch.full((6, 8), -math.inf)
        row[:, at] = -5.0
        assert categorical(row, edges).tolist() == [at] * 6


def test_the_largest_u_stays_below_totals_that_round_up():
    rng = torch.Generator().manual_seed(8)
    for v in (1, 2, 3, 5, 17, 64):  # totals of up to 62 bits, half of which round up as floats
        near = (1 - torch.rand(500, v, generator=rng, dtype=torch.float64) * 2.0**-40).log()
        assert categorical(near, torch.full((500,), LAST, dtype=torch.float64)).tolist() == [v - 1] * 500


@pytest.mark.parametrize("v", [2, 3, 10, 1000, 50_000])
def test_probability_zero_is_never_drawn_adversarially(v):
    rng = torch.Generator().manual_seed(v)
    logits = torch.randn(12, v, generator=rng) * 8
    dead = torch.rand(12, v, generator=rng) < 0.5
    dead[:, -1] = True  # where rounding at the end would fall
    dead[torch.arange(12), torch.randint(0, v - 1, (12,), generator=rng)] = False
    logits[dead] = -math.inf
    for value in (0.0, 0.5, 1 - 2.0**-30, LAST):
        drawn = categorical(logits, torch.full((12,), value, dtype=torch.float64))
        assert not bool(dead[torch.arange(12), drawn].any())
    # u exactly on each border of the distribution function, and just beside it
    p = logits.double().softmax(1)
    border = p.cumsum(1)[:, : min(v, 40)]
    for k in range(border.shape[1]):
        for u in (border[:, k], border[:, k].nextafter(torch.zeros(()).double())):
            drawn = categorical(logits, u.clamp(0, LAST))
            assert not bool(dead[torch.arange(12), drawn].any())


def test_categorical_against_a_loop():
    rng = torch.Generator().manual_seed(3)
    logits = torch.randn(300, 9, generator=rng, dtype=torch.float64)
    logits[torch.rand(300, 9, generator=rng) < 0.3] = -math.inf
    logits[:, 4] = 0.0
    u = uniforms(torch.arange(300), 0)
    for i, drawn in enumerate(categorical(logits, u).tolist()):
        p = [math.exp(x) for x in logits[i].tolist()]
        left = float(u[i]) * math.fsum(p)
        slow = next(v for v in range(9) if math.fsum(p[: v + 1]) > left)
        assert drawn == slow
    # a row's draw is its own
    assert categorical(logits[17:18], u[17:18]).tolist() == [int(categorical(logits, u)[17])]


def test_categorical_frequencies():
    n = 20_000
    p = [0.5, 0.0, 0.3, 0.2]
    drawn = categorical(logs(p).expand(n, 4), uniforms(torch.arange(n), 9))
    share = (torch.bincount(drawn, minlength=4) / n).tolist()
    assert share[1] == 0.0
    assert share == pytest.approx(p, abs=0.018)  # five standard errors


def test_categorical_refusals():
    half = torch.tensor([0.5])
    with pytest.raises(ValueError, match=r"needs floats \[n, V\] with V >= 1 and u \[n\], not \[3\] and \[1\]"):
        categorical(torch.zeros(3), half)
    with pytest.raises(ValueError, match=r"not \[1, 0\] and \[1\]"):
        categorical(torch.zeros(1, 0), half)
    with pytest.raises(ValueError, match=r"not \[2, 3\] and \[1\]"):
        categorical(torch.zeros(2, 3), half)
    for bad in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"u must lie in \[0, 1\)"):
            categorical(torch.zeros(1, 3), torch.tensor([bad]))
    for row in ([math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]):
        with pytest.raises(
            ValueError, match=r"row 1 holds NaN or [+]inf, or has no alternative of positive probability"
        ):
            categorical(torch.tensor([[0.0, 0.0], row]), torch.tensor([0.5, 0.5]))
