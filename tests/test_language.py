"""The language actor: text to tokens once, scores as a plain forward pass gives them, adapters, precision, memory."""

import pytest
import torch

from sharpen.actor.base import Request
from sharpen.actor.load import ModelSetup, load_language, wrap
from sharpen.actor.nano import Nano, character_tokenizer, nano_model
from sharpen.actor.text import rows_of
from sharpen.errors import SharpenError
from sharpen.types import Problem, Sampling, Segment, Trace
from toy import nano_actor, weights_equal


def ask(actor, text="ab", **sampling):
    context = tuple(actor.prompt(Problem("p", text)))
    return context, actor.sample([Request(context, Sampling(**sampling), 7, "policy@0")])[0]


def plain_logp(model, ids, temperature=1.0):
    logits = model(input_ids=ids[None]).logits[0, :-1] / temperature
    return logits.log_softmax(-1).gather(-1, ids[1:, None]).squeeze(-1)


def test_prompt_is_the_chat_template_of_the_tokenizer():
    actor = nano_actor()
    (segment,) = actor.prompt(Problem("p", "3+4?"))
    assert actor.tokenizer.decode(segment.atoms.tolist()) == "<bos>3+4?\n"
    (chat,) = actor.prompt(
        Problem(
            "q",
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
        )
    )
    assert actor.tokenizer.decode(chat.atoms.tolist()) == "<bos>a\nb<eos>c\n"


def test_without_a_template_the_prompt_is_the_text():
    actor = nano_actor()
    actor.tokenizer.chat_template = None
    (segment,) = actor.prompt(Problem("p", "3+4?"))
    assert actor.decode(segment.atoms.tolist()) == "3+4?\n"
    assert actor.decode(actor.say("no").atoms.tolist()) == "\nno\n"


def test_a_turn_goes_on_where_the_model_stopped():
    actor = nano_actor()
    turn = actor.say("wall ahead")
    assert actor.tokenizer.decode(turn.atoms.tolist()) == "wall ahead\n"
    actor.tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    turn = actor.say("wall ahead", "tool")
    # the model drew its own end token, so the next turn begins with what the template puts after that
    assert actor.tokenizer.decode(turn.atoms.tolist()) == "\n[tool]wall ahead<eos>\n[assistant]"


def test_a_template_that_rewrites_the_past_is_refused():
    actor = nano_actor()
    actor.tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' and not loop.last %}(cut){% else %}{{ m['content'] "
        "}}{% endif %}"
        "{{ eos_token }}{% endfor %}"
    )
    with pytest.raises(SharpenError, match="rewrites earlier turns"):
        actor.say("x")


def test_demonstrations_end_with_the_end_token():
    s = nano_actor().given("#7")
    assert s.trainable
    assert s.logp is None
    assert s.atoms[-1] == 2
    assert len(s) == 3


def test_a_prompt_longer_than_the_context_is_refused():
    with pytest.raises(SharpenError, match=r"prompt of problem 'p' has 102 tokens, and the model's context holds 64"):
        nano_actor().prompt(Problem("p", "a" * 100))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_drawn_log_probs_are_those_the_trainer_scores(temperature):
    actor = nano_actor(width=32, layers=2, max_tokens=12)
    context, s = ask(actor, temperature=temperature)
    trace = Trace(Problem("p", "ab"), [*context, s])
    batch = actor.collate([trace], torch.tensor([0]), ("logp_old",))
    with torch.no_grad():
        scored = actor.score(batch, ("entropy",))
        ids = torch.cat([x.atoms for x in trace.segments])
        torch.testing.assert_close(
            scored.logp, plain_logp(actor.module, ids, temperature)[-len(s) :], atol=1e-5, rtol=0
        )
    torch.testing.assert_close(scored.logp, batch.cols["logp_old"], atol=1e-5, rtol=0)
    torch.testing.assert_close(s.logp, s.cols["logp_old"], atol=1e-5, rtol=0)
    torch.testing.assert_close(scored.extra["entropy"], s.cols["entropy"], atol=1e-4, rtol=0)


def test_top_p_keeps_both_densities():
    actor = nano_actor(max_tokens=12)
    _, s = ask(actor, top_p=0.5)
    assert (s.logp > s.cols["logp_old"]).all()  # renormalised over half of the mass, hence above the policy's own


def test_several_turns_and_contexts_of_one_trace():
    actor = nano_actor()
    p = Problem("p", "ab")
    one, two = actor.given("xy"), actor.given("z")
    restart = actor.prompt(Problem("q", "summary"))[0]
    restart.fresh = True
    three = actor.given("w")
    trace = Trace(p, [*actor.prompt(p), one, actor.say("go"), two, restart, three])
    assert [len(r) for r in rows_of(trace)] == [4, 2]
    for k, s in enumerate((one, two, three)):
        s.put("n", float(k))
    batch = actor.collate([trace], torch.tensor([0]), ("n", "logp_old"))
    assert batch.cols["n"].tolist() == [0] * 3 + [1] * 2 + [2] * 2
    assert batch.segment.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert batch.trace.tolist() == [0] * 7
    assert bool(batch.cols["logp_old"].isnan().all())
    with torch.no_grad():
        got = actor.score(batch).logp
        first = torch.cat([s.atoms for s in trace.segments[:4]])
        second = torch.cat([s.atoms for s in trace.segments[4:]])
        want = torch.cat(
            [
                plain_logp(actor.module, first)[[len(trace.segments[0]) - 1 + i for i in range(3)]],
                plain_logp(actor.module, first)[-2:],
                plain_logp(actor.module, second)[-2:],
            ]
        )
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_padding_changes_nothing():
    actor = nano_actor()
    traces = [
        Trace(Problem("p", "ab"), [*actor.prompt(Problem("p", "a" * n)), actor.given("x" * n)]) for n in (1, 9, 4)
    ]
    with torch.no_grad():
        together = actor.score(actor.collate(traces, torch.zeros(3, dtype=torch.long), ())).logp
        alone = torch.cat([actor.score(actor.collate([t], torch.tensor([0]), ())).logp for t in traces])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_lora_trains_only_adapters_and_is_its_own_reference(tmp_path):
    actor = nano_actor(lora=2)
    names = [n for n, _ in actor.parameters()]
    assert names
    assert all("lora_" in n for n in names)
    assert set(actor.weights()) == set(names)
    ref = actor.freeze()
    assert ref.module is actor.module  # no second copy of the weights
    p = Problem("p", "ab")
    trace = Trace(p, [*actor.prompt(p), actor.given("xyz")])
    batch = actor.collate([trace], torch.tensor([0]), ())
    with torch.no_grad():
        before = actor.score(batch).logp
        torch.testing.assert_close(before, ref.score(batch).logp)
        for n, w in actor.parameters():
            if "lora_B" in n:
                w += 0.1
        after = actor.score(batch).logp
        torch.testing.assert_close(ref.score(batch).logp, before)
    assert float((after - before).abs().max()) > 1e-3
    actor.export(tmp_path / "merged")
    merged = load_language(tmp_path / "merged", ModelSetup(device="cpu"))
    with torch.no_grad():
        torch.testing.assert_close(
            merged.score(merged.collate([trace], torch.tensor([0]), ())).logp, after, atol=1e-4, rtol=0
        )


def test_bfloat16_keeps_master_weights_and_agrees_with_its_own_rollout():
    actor = nano_actor(width=32, layers=2, max_tokens=12, dtype="bfloat16")
    assert all(p.dtype == torch.float32 for _, p in actor.parameters())
    context, s = ask(actor)
    batch = actor.collate([Trace(Problem("p", "ab"), [*context, s])], torch.tensor([0]), ("logp_old",))
    with torch.no_grad():
        gap = (actor.score(batch).logp - batch.cols["logp_old"]).abs().mean()
        exact = plain_logp(actor.module, torch.cat([context[0].atoms, s.atoms]))[-len(s) :]
    assert float(gap) < actor.agreement
    assert float((exact - s.cols["logp_old"]).abs().max()) < 0.2
    assert s.logp.dtype == torch.float32


def test_gradient_checkpointing_gives_the_same_gradient():
    grads = []
    for checkpointing in (False, True):
        actor = nano_actor(width=16, layers=2, checkpointing=checkpointing)
        actor.module.train(checkpointing)  # transformers recomputes only in training mode; there is no dropout
        p = Problem("p", "ab")
        trace = Trace(p, [*actor.prompt(p), actor.given("xyz")])
        actor.score(actor.collate([trace], torch.tensor([0]), ())).logp.sum().backward()
        grads.append({n: w.grad.clone() for n, w in actor.parameters()})
    for n in grads[0]:
        torch.testing.assert_close(grads[0][n], grads[1][n])


def test_saved_and_loaded_again(tmp_path):
    actor = nano_actor()
    actor.export(tmp_path / "m")
    again = load_language(tmp_path / "m", ModelSetup(device="cpu"))
    assert weights_equal(actor.weights(), again.weights())
    assert again.max_context == 64
    assert again.rate == 2e-4
    assert not list((tmp_path / "m").glob("*.bin"))


def test_weights_of_another_model_are_refused():
    small, large = nano_actor(), nano_actor(width=32)
    with pytest.raises(SharpenError, match="it is of another model"):
        small.load_weights(large.weights())
    with pytest.raises(SharpenError, match="stand in only one of the two"):
        small.load_weights({})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dtype": "float8"}, "--dtype float8"),
        ({"device": "cuda"}, "finds no GPU"),
        ({"device": "abacus"}, "no kind of device 'abacus'"),
        ({"max_context": 10**6}, "more than the model's 64"),
    ],
)
def test_impossible_options_are_refused(options, text):
    if options.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU, so asking for one is no mistake")
    with pytest.raises(SharpenError, match=text):
        nano_actor(**options)


def test_missing_model_and_missing_tokens(tmp_path):
    with pytest.raises(SharpenError, match="no model folder"):
        load_language(str(tmp_path / "a" / "b" / "nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SharpenError, match=r"empty' has no config\.json, so it is no model"):
        load_language(str(tmp_path / "empty"))
    tokenizer = character_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token = None
    with pytest.raises(SharpenError, match="neither a padding nor an end-of-text token"):
        wrap(nano_model(Nano(width=16, layers=1, heads=2)), tokenizer)


def test_pad_falls_back_to_the_end_token():
    tokenizer = character_tokenizer()
    tokenizer.pad_token = None
    actor = wrap(
        nano_model(Nano(width=16, layers=1, heads=2, context=64)), tokenizer, ModelSetup(device="cpu", max_tokens=3)
    )
    assert actor.tokenizer.pad_token_id == 2
    assert len(ask(actor)[1]) > 0


def test_unknown_extras_are_refused():
    actor = nano_actor()
    p = Problem("p", "ab")
    batch = actor.collate([Trace(p, [*actor.prompt(p), actor.given("x")])], torch.tensor([0]), ())
    with pytest.raises(SharpenError, match="cannot score value"):
        actor.score(batch, ("value",))


def test_a_trace_must_begin_with_a_prompt():
    actor = nano_actor()
    with pytest.raises(SharpenError, match="begins with a trained token"):
        actor.collate([Trace(Problem("p", ""), [Segment(torch.tensor([5]), True)])], torch.tensor([0]), ())
