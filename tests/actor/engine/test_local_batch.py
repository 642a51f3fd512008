"""What is computed together, what is not, and how samples end."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from nano_models import END, VOCAB, build, engine_of, letters

from sharpen.actor.engine.base import Prompt
from sharpen.actor.engine.queue import Queue
from sharpen.errors import SharpenError
from sharpen.types import Sampling


def count_tokens(model: Any) -> tuple[list[tuple[int, int]], Callable[[], None]]:
    """The shapes of what went into the first layer, forward pass by forward pass."""
    shapes: list[tuple[int, int]] = []
    hook = model.get_input_embeddings().register_forward_hook(lambda m, args, out: shapes.append(tuple(args[0].shape)))
    return shapes, hook.remove


def varied(n: int) -> list[Prompt]:
    sampling = [Sampling(max_tokens=14), Sampling(temperature=0.7, top_p=0.9), Sampling(top_k=5, max_tokens=3)]
    g = torch.Generator().manual_seed(2)
    texts = [tuple(torch.randint(2, VOCAB, (2 + 5 * (i % 4),), generator=g).tolist()) for i in range(n // 3)]
    return [Prompt(texts[i // 3], sampling[i % 3], 1000 + i) for i in range(n)]


@pytest.mark.parametrize("kind", ["qwen3", "llama", "mistral", "gemma2"])
@pytest.mark.parametrize("rows", [512, 5, 1])
def test_together_equals_alone(models: Any, kind: str, rows: int) -> None:
    prompts = varied(24)
    together = engine_of(models(kind), max_rows=rows).generate(prompts)
    engine = engine_of(models(kind))
    for prompt, draw in zip(prompts[::2], together[::2], strict=True):
        (alone,) = engine.generate([prompt])
        assert draw.tokens.tolist() == alone.tokens.tolist()
        assert draw.end == alone.end
        for name in ("logp", "logp_full", "entropy"):
            torch.testing.assert_close(getattr(draw, name), getattr(alone, name), atol=1e-5, rtol=1e-5)


def test_requests_come_back_in_their_order(models: Any) -> None:
    prompts = varied(12)
    engine = engine_of(models("llama"), max_rows=4)
    forwards = engine.generate(prompts)
    backwards = engine.generate(prompts[::-1])[::-1]
    assert [d.tokens.tolist() for d in forwards] == [d.tokens.tolist() for d in backwards]
    assert len({tuple(d.tokens.tolist()) for d in forwards}) > 8


def test_equal_prompts_go_through_once_even_in_several_refills(models: Any) -> None:
    model = models("qwen3")
    texts = [(3, 4, 5, 6, 7), (8, 9, 10, 11)]
    prompts = [Prompt(t, Sampling(max_tokens=3), i) for t in texts for i in range(6)]
    shapes, done = count_tokens(model)
    engine_of(model, end_tokens=frozenset()).generate(prompts)
    # both prompts padded to 5, then 12 rows for tokens 2 and 3; the last token is never fed back
    assert shapes == [(2, 5), (12, 1), (12, 1)]
    shapes.clear()
    engine_of(model, end_tokens=frozenset(), max_rows=4).generate(prompts)
    done()
    assert [s for s in shapes if s[1] > 1] == [(1, 5), (1, 4)]
    assert sum(rows for rows, width in shapes if width == 1) == 12 * 2
    assert max(rows for rows, width in shapes if width == 1) == 4


def test_logits_of_a_prompt_are_computed_for_its_last_token_alone(models: Any) -> None:
    model = models("llama")
    shapes: list[tuple[int, ...]] = []
    hook = model.get_output_embeddings().register_forward_hook(lambda m, args, out: shapes.append(tuple(out.shape)))
    engine_of(model).generate([Prompt((3,) * (4 + i), Sampling(max_tokens=1), 0) for i in range(3)])
    hook.remove()
    assert shapes == [(3, 1, VOCAB)]


def test_rows_that_ended_are_not_computed(models: Any) -> None:
    model = models("qwen3")
    prompts = [Prompt((3, 4), Sampling(max_tokens=n), n) for n in (1, 4, 2, 6, 2)]
    shapes, done = count_tokens(model)
    draws = engine_of(model, end_tokens=frozenset()).generate(prompts)
    done()
    assert [len(d.tokens) for d in draws] == [1, 4, 2, 6, 2]
    # after token t those live that may have more than t
    assert shapes == [(1, 2), (4, 1), (2, 1), (2, 1), (1, 1), (1, 1)]


def test_free_rows_are_filled_from_the_queue(models: Any) -> None:
    model = models("qwen3")
    prompts = [Prompt((3, 4), Sampling(max_tokens=n), n) for n in (2, 5, 5, 2, 3)]
    shapes, done = count_tokens(model)
    draws = engine_of(model, end_tokens=frozenset(), max_rows=2).generate(prompts)
    done()
    assert [len(d.tokens) for d in draws] == [2, 5, 5, 2, 3]
    assert shapes[0] == (1, 2)
    # tokens to feed back: 1, 4, 4, 1, 2; the third sample starts after the first, the fourth and fifth after the second
    assert [rows for rows, _ in shapes[1:]] == [2, 2, 2, 2, 2, 1, 1]


def test_slots_grow_with_the_longest_row(models: Any) -> None:
    model = build("llama", max_position_embeddings=1024)
    prompts = [Prompt((3, 4, 5), Sampling(temperature=0.0, max_tokens=n), 0) for n in (10, 700)]
    short, long = engine_of(model, end_tokens=frozenset(), max_context=1024).generate(prompts)
    assert short.tokens.tolist() == long.tokens[:10].tolist()
    theirs = model.generate(
        torch.tensor([[3, 4, 5]]), do_sample=False, max_new_tokens=700, attention_mask=torch.ones(1, 3).long()
    )
    assert long.tokens.tolist() == theirs[0, 3:].tolist()


def test_an_end_token_ends_and_is_kept(models: Any) -> None:
    prompts = [Prompt((3, 4), Sampling(temperature=2.0), i) for i in range(40)]
    draws = engine_of(models("qwen3"), end_tokens=frozenset({END, 9})).generate(prompts)
    ends = {d.tokens[-1].item() for d in draws if d.end == "stop"}
    assert ends == {END, 9}
    for draw in draws:
        assert not {END, 9} & set(draw.tokens[:-1].tolist())
        assert draw.end == "stop" or len(draw.tokens) == 46


def test_limits(models: Any) -> None:
    engine = engine_of(models("llama"), end_tokens=frozenset(), max_context=20)
    prompts = [Prompt((5,) * n, Sampling(max_tokens=m), 0) for n, m in ((4, 3), (4, 0), (4, 99), (19, 0), (19, 1))]
    draws = engine.generate(prompts)
    assert [len(d.tokens) for d in draws] == [3, 16, 16, 1, 1]
    assert {d.end for d in draws} == {"length"}
    assert engine.generate([]) == []


def test_stop_strings_end_at_the_token_that_completes_them(models: Any) -> None:
    model = models("qwen3")
    engine = engine_of(model, end_tokens=frozenset())
    base = [Prompt((3, 4), Sampling(temperature=1.5, max_tokens=30), i) for i in range(30)]
    plain = [d.tokens.tolist() for d in engine.generate(base)]
    stop = (letters(plain[0][4:6]), letters(plain[1][9:12]), "c")
    stopped = [Prompt(p.tokens, Sampling(temperature=1.5, max_tokens=30, stop=stop), p.seed) for p in base]
    for whole, draw in zip(plain, engine.generate(stopped), strict=True):
        # independently: the shortest prefix whose text has a stop string
        first = next((n for n in range(1, 31) if any(s in letters(whole[:n]) for s in stop)), None)
        assert draw.tokens.tolist() == whole[: first or 30]
        assert draw.end == ("stop" if first else "length")
        assert len(draw.logp) == len(draw.logp_full) == len(draw.entropy) == len(draw.tokens)


def test_model_and_modes_are_left_as_they_were() -> None:
    model = build("gpt2")
    model.train()
    model.transformer.h[0].attn.eval()
    before = [m.training for m in model.modules()]
    prompts = [Prompt((3, 4), Sampling(max_tokens=8), i) for i in range(4)]
    engine = engine_of(model)
    draws = engine.generate(prompts)
    assert [m.training for m in model.modules()] == before
    assert not any(m._forward_pre_hooks for m in model.modules())
    model.eval()
    # dropout of 0.1 would show
    assert [d.tokens.tolist() for d in engine.generate(prompts)] == [d.tokens.tolist() for d in draws]


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (
            Prompt((2,) * 48, Sampling(), 0),
            "A prompt has 48 tokens and the context limit is 48.*Shorten the prompt or raise",
        ),
        (Prompt((), Sampling(), 0), "a prompt without tokens. Start prompts with at least one token."),
        (Prompt((2,), Sampling(top_p=0.0), 0), re.escape("It takes temperature >= 0, 0 < top_p <= 1")),
        (Prompt((2,), Sampling(temperature=-1.0), 0), "cannot draw with Sampling.temperature=-1.0"),
        (Prompt((2,), Sampling(stop=("",)), 0), "stop strings of at least one character"),
        (Prompt((2,), Sampling(support="grammar"), 0), "to the support 'grammar'. Use Sampling"),
    ],
)
def test_what_cannot_be_drawn_is_refused(models: Any, prompt: Prompt, words: str) -> None:
    with pytest.raises(SharpenError, match=words):
        engine_of(models("llama")).generate([prompt])


def test_what_cannot_be_served_is_refused(models: Any) -> None:
    with pytest.raises(SharpenError, match="max_rows=0; it needs at least 1"):
        engine_of(models("llama"), max_rows=0)
    linear = build("qwen3")
    linear.config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(SharpenError, match="Qwen3ForCausalLM: it has layers of type linear_attention"):
        engine_of(linear)
    flash = build("qwen3")
    flash.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(
        SharpenError, match=r"attn_implementation='flash_attention_2'\. Load it with attn_implementation='sdpa'"
    ):
        engine_of(flash)
    with pytest.raises(
        SharpenError, match=r"Qwen3Model: it has no output embedding\. Load the model with AutoModelForCausalLM"
    ):
        engine_of(build("qwen3").model)


def test_diverged_weights_are_told(models: Any) -> None:
    model = build("qwen3")
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    with pytest.raises(
        SharpenError, match=r"logits that are not numbers \(NaN or infinite\): the model's weights have"
    ):
        engine_of(model).generate([Prompt((3, 4), Sampling(max_tokens=4), i) for i in range(3)])


def test_prompts_that_go_through_together() -> None:
    texts = [(1,) * n for n in (10, 4000, 9, 10, 3900)]
    queue = Queue([*texts, (1,) * 9])
    # requests 0 and 3 share a prompt, and so do 2 and 5
    assert queue.next(100) == ([texts[1], texts[4]], [(0, 1), (1, 4)])
    assert queue.next(1) == ([texts[0]], [(0, 0), (0, 3)])
    assert queue.next(100) == ([texts[2]], [(0, 2), (0, 5)])
    assert not queue
