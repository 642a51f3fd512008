"""What went wrong in a run, in plain words: each finding says what was seen, what it means, and what to do about it.

Pure functions of the metrics history and of the evaluations before and after. Levels at the start and at the end of a
run are means over its first and last fifth (`sharpen.run.trends`). Thresholds stand in `sharpen.run.thresholds`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from sharpen.evaluation import CEILING, Change, Evaluation, moved, percent, shown, widest
from sharpen.run.remedies import Known, either
from sharpen.run.thresholds import (
    AGREEMENT,
    ALL_FAILED,
    ALL_FAILED_STOP,
    ALL_SOLVED,
    CLIPPED,
    ENTROPY_LOW,
    ENTROPY_SHARE,
    FEW_SIGNALS,
    FORMAT_NEVER,
    GRADIENT_ZERO,
    KL_HIGH,
    LENGTH_GROWTH,
    OTHER_SIGNAL,
    REWARD_GAIN,
    SOLVED_FLAT,
    SPIKE,
    SPIKES_MANY,
    TRAIN_GAIN,
    TRUNCATED,
    TRUNCATED_STOP,
)
from sharpen.run.trends import TREND_LEAST, Entry, Trends

Severity = Literal["note", "warning", "stop"]
"""A note explains, a warning asks for a change, a stop says that going on is a waste."""


@dataclass(frozen=True)
class Finding:
    """One diagnosis; `text` is one short paragraph."""

    severity: Severity
    title: str
    text: str


Evaluations = Mapping[str, Evaluation]
"""What an evaluation found, by split."""


def diagnose(
    history: Sequence[Entry],
    before: Evaluations | None = None,
    after: Evaluations | None = None,
    known: Known | None = None,
) -> list[Finding]:
    """Everything found in a run, the gravest first; a healthy run gives an empty list.

    `history` holds `{"step", "metrics", "cost"}` per iteration; missing metrics are passed over. Trends need at least
    `TREND_LEAST` iterations, levels need one.
    """
    trends, known = Trends(history), known or Known()
    found = [f for look in LOOKS for f in look(trends, known)]
    found += _compare(trends, known, before or {}, after or {})
    grave = ("stop", "warning", "note")
    return sorted(found, key=lambda f: grave.index(f.severity))


def _signal(t: Trends, s: Known) -> list[Finding]:
    failed, solved, signal = t.now("group/all_failed"), t.now("group/all_solved"), t.now("groups/signal")
    over = f"over the last {_iterations(t.recent('group/all_failed'))}"
    if failed is not None and failed >= ALL_FAILED:
        every = f"All {s.samples} samples" if s.samples else "All samples"
        seen = f"{every} failed on {percent(failed)} of the problems {over}"
        if signal is not None and signal > OTHER_SIGNAL:
            text = (
                f"{seen}, yet {percent(signal)} of the groups gave a gradient: the model is learning from another "
                f"reward than being right. That is a usual first phase while it learns the format. If it lasts, try "
                f"easier problems or `sharpen train sft` first."
            )
            return [Finding("note", "Learning from other rewards only", text)]
        remedies = ["an easier mix of problems", "supervised warm-up first (`sharpen train sft`)"]
        remedies += s.more
        if hints := s.offer("ghpo", "guide-grpo", "scaf-grpo"):
            remedies.append(f"a recipe that gives hints{hints}")
        text = f"{seen}, so most groups give no gradient. Try {', '.join(remedies[:-1])}, or {remedies[-1]}."
        return [Finding("stop" if failed >= ALL_FAILED_STOP else "warning", "Most problems are too hard", text)]
    if solved is not None and solved >= ALL_SOLVED:
        text = (
            f"Every sample was right on {percent(solved)} of the problems {over}, so most groups give no gradient: "
            f"there is little left to learn here. Train on harder problems, or stop."
        )
        return [Finding("note", "Most problems are solved", text)]
    if signal is not None and signal < FEW_SIGNALS:
        text = (
            f"Only {percent(signal)} of the groups gave a gradient over the last "
            f"{_iterations(t.recent('groups/signal'))}; in the others every sample earned the same."
            + either(
                [
                    "take problems of medium difficulty",
                    *s.more,
                    f"a recipe that draws again until groups are mixed{s.offer('dapo')}",
                ]
            )
        )
        return [Finding("warning", "Few groups give a gradient", text)]
    return []


def _entropy(t: Trends, s: Known) -> list[Finding]:
    span = t.span("entropy")
    if span is None or span[0] <= 0 or span[1] >= ENTROPY_SHARE * span[0] or span[1] >= ENTROPY_LOW:
        return []
    seen = f"Entropy fell from {span[0]:.3f} to {span[1]:.3f} nats a token"
    right = t.now("solved") or 0.0
    if right >= CEILING:
        text = f"{seen} while {percent(right)} of the answers were right: the model is sure because it is right."
        return [Finding("note", "Entropy is low because the task is solved", text)]
    text = (
        f"{seen}: samples of one problem are nearly the same, so there is little left to compare or to discover."
        + either(s.slower + s.nearer + s.wider)
    )
    return [Finding("warning", "Entropy collapsed", text)]


def _truncated(t: Trends, s: Known) -> list[Finding]:
    cut = t.now("truncated")
    if cut is None or cut < TRUNCATED:
        return []
    limit = f" of {s.max_tokens} tokens" if s.max_tokens else ""
    option = f"{s.limit}{2 * s.max_tokens}" if s.max_tokens else s.limit.strip(" =")
    text = (
        f"{percent(cut)} of the answers ended at the limit{limit} over the last {_iterations(t.recent('truncated'))}: "
        f"the model is judged on answers that it could not finish. Raise the limit (`{option}`)."
    )
    return [Finding("stop" if cut >= TRUNCATED_STOP else "warning", "Answers are cut off", text)]


def _format(t: Trends, s: Known) -> list[Finding]:
    seen = t.now(f"reward/{s.format}")
    if seen is None or seen > FORMAT_NEVER:
        return []
    cut = (t.now("truncated") or 0.0) >= TRUNCATED
    limit = s.limit.strip(" =")
    first = f"Raise `{limit}` first, since most answers are cut off; if that does not help, warm" if cut else "Warm"
    text = (
        f"The reward {s.format!r} was {seen:.3f} on average over the last "
        f"{_iterations(t.recent(f'reward/{s.format}'))}: the model almost never writes an answer in the form the task "
        f"reads, and what never occurs cannot be reinforced. {first} the model up on worked solutions (`sharpen train "
        f"sft`), and check that the prompt shows the form."
    )
    return [Finding("warning", "The answer format never appears", text)]


def _length(t: Trends, s: Known) -> list[Finding]:
    length, solved = t.span("length"), t.span("solved")
    if length is None or solved is None or length[0] <= 0:
        return []
    if length[1] <= LENGTH_GROWTH * length[0] or solved[1] - solved[0] >= SOLVED_FLAT:
        return []
    text = (
        f"Answers grew from {length[0]:.0f} to {length[1]:.0f} tokens while the share solved went from "
        f"{percent(solved[0])} to {percent(solved[1])}: the added length earns nothing. Divide by a constant horizon "
        f"instead of each answer's length{_horizon(s)}{s.offer('dr-grpo')}, or weigh in a reward for short answers."
    )
    return [Finding("warning", "Answers grow without getting better", text)]


def _horizon(s: Known) -> str:
    """How to divide by a constant horizon, where the recipe has a policy-gradient term."""
    if not s.max_tokens or "Term.ppoclip.mean_over" not in s.options:
        return ""
    name = "Term.ppoclip"
    return f" (`--set {name}.mean_over=horizon --set {name}.horizon={s.max_tokens}`)"


def _hacking(t: Trends, s: Known) -> list[Finding]:
    total, solved = t.span("reward/total"), t.span("solved")
    if total is None or solved is None or solved[0] >= CEILING:
        return []
    if total[1] - total[0] < REWARD_GAIN or solved[1] - solved[0] >= SOLVED_FLAT:
        return []
    figures = f"from {total[0]:.3f} to {total[1]:.3f}"
    rise = _riser(t)
    of = f", most of it from {rise[0]!r} ({rise[1]:.3f} to {rise[2]:.3f})" if rise else ""
    shares = f"{percent(solved[0])} to {percent(solved[1])}"
    seen = f"The total reward rose {figures}{of}, while the share solved went from {shares}"
    if rise and rise[0] == s.format:
        text = (
            f"{seen}. The model has learned the form of an answer but not yet to be right, a usual first phase; give "
            f"it more iterations or easier problems."
        )
        return [Finding("note", "Only the format was learned", text)]
    text = (
        f"{seen}: the model may have found a way to be paid without solving. Read some rollouts, and weigh the "
        f"rewards otherwise (give the one that rose less weight, the one for being right more)."
    )
    return [Finding("warning", "Reward rises but problems are not solved", text)]


def _riser(t: Trends) -> tuple[str, float, float] | None:
    """The named reward that rose most, with its levels."""
    keys = {k for e in t.history for k in e.get("metrics", {}) if k.startswith("reward/") and k != "reward/total"}
    spans = [(k.removeprefix("reward/"), x) for k in sorted(keys) if (x := t.span(k)) is not None and x[1] > x[0]]
    best = max(spans, key=lambda kx: kx[1][1] - kx[1][0], default=None)
    return None if best is None else (best[0], *best[1])


def _gradients(t: Trends, s: Known) -> list[Finding]:
    raw = [(e["step"], g) for e in t.history if isinstance(g := e.get("metrics", {}).get("grad_norm"), (int, float))]
    broken = [step for step, g in raw if not math.isfinite(g)]
    if broken:
        text = (
            f"The gradient norm was not a finite number at step {broken[0]} ({_times(len(broken))} in all): the "
            f"weights may be spoiled. Start again from a model before it." + either(s.slower)
        )
        return [Finding("stop", "The gradient is not a number", text)]
    values = t.values("grad_norm")
    if not values:
        return []
    now = values[-t.recent("grad_norm") :]
    if max(now) < GRADIENT_ZERO:
        text = (
            f"The gradient norm was {max(now):.1e} or less over the last {_iterations(len(now))}: no weight moves. "
            f"Either no group has samples that earn differently (see the share of groups with signal), or every term's "
            f"weight is 0."
        )
        return [Finding("stop", "No gradient arrives", text)]
    usual = median([v for v in values if v >= GRADIENT_ZERO])
    spikes = [step for step, g in raw if g > SPIKE * usual]
    if len(values) < TREND_LEAST or not spikes:
        return []
    text = (
        f"The gradient norm was usually {usual:.3g} but reached {max(values):.3g} ({_times(len(spikes))} above "
        f"{SPIKE:.0f} times the usual, first at step {spikes[0]}): single batches push the weights far."
        + either(
            s.slower
            + s.change("clip harder", "AdamW.clip", 0.3)
            + s.change("take more problems a step", "Loop.problems", 2)
        )
    )
    return [Finding("warning" if len(spikes) >= SPIKES_MANY else "note", "Gradient spikes", text)]


def _drift(t: Trends, s: Known) -> list[Finding]:
    out = []
    kl, clipped, apart = t.now("kl"), t.now("clipped"), t.now("agreement/mean")
    if kl is not None and kl >= KL_HIGH:
        text = (
            f"The policy is {kl:.2f} nats a token away from the reference (mean of the last "
            f"{_iterations(t.recent('kl'))}): it has left what it knew." + either(s.slower + s.nearer)
        )
        out.append(Finding("warning", "Far from the reference", text))
    if clipped is not None and clipped >= CLIPPED:
        text = (
            f"{percent(clipped)} of the tokens were clipped over the last {_iterations(t.recent('clipped'))}: each "
            f"iteration moves the policy too far from the one that drew the samples." + either(s.slower + _once(s))
        )
        out.append(Finding("warning", "Too much is clipped", text))
    if apart is not None and apart >= AGREEMENT:
        text = (
            f"Log-probs of the sampler and of the trainer differ by {apart:.3f} nats a token on average over the last "
            f"{_iterations(t.recent('agreement/mean'))}: the samples do not come from the policy that is trained. Use "
            f"the same precision for both, and check that the sampler got the newest weights."
        )
        out.append(Finding("warning", "Sampler and trainer disagree", text))
    return out


def _once(s: Known) -> list[str]:
    epochs = s.options.get("Update.epochs", 1)
    return ["go through the samples once (`--set Update.epochs=1`)"] if epochs > 1 else []


def _compare(t: Trends, s: Known, before: Evaluations, after: Evaluations) -> list[Finding]:
    split = next((s for s in ("test", *before) if s in before and s in after), None)
    if split is None:
        return []
    a, b, out = before[split], after[split], []
    move = _way(a, b, "accuracy")
    if move == "down":
        text = (
            f"On the split {split} the share of right answers fell from {shown(a.accuracy)} to {shown(b.accuracy)}. "
            f"Keep the model from before, and train again otherwise." + either(s.slower)
        )
        out.append(Finding("warning", "The model got worse", text))
    k = widest(a, b)
    if move == "up" and k is not None and _way(a, b, f"pass@{k}") == "down":
        text = (
            f"On the split {split} the share of right answers rose from {shown(a.accuracy)} to {shown(b.accuracy)}, "
            f"but pass@{k} fell from {shown(a.pass_at[k])} to {shown(b.pass_at[k])}: answers became surer, and some "
            f"problems are now out of reach." + either(["stop earlier", *s.nearer, *s.wider])
        )
        out.append(Finding("warning", "Sharpened at the cost of breadth", text))
    gain = _train_gain(t, before, after)
    if gain is not None and split != "train" and move == "unclear" and a.accuracy.mean < CEILING:
        text = (
            f"In training the share solved rose from {percent(gain[0])} to {percent(gain[1])}, but on the split "
            f"{split} it stayed within error ({shown(a.accuracy)} before, {shown(b.accuracy)} after): the model "
            f"learned these problems, not the skill. Use more different training problems or fewer passes over them."
        )
        out.append(Finding("warning", "Learned the training problems only", text))
    return out


def _way(before: Evaluation, after: Evaluation, measure: str) -> Change:
    move = moved(before, after, measure)
    return "unclear" if move is None else move.change


def _train_gain(t: Trends, before: Evaluations, after: Evaluations) -> tuple[float, float] | None:
    """Levels of the share solved in training, by evaluation where there is one, if it rose enough; else None."""
    if "train" in before and "train" in after:
        a, b = before["train"].accuracy, after["train"].accuracy
        sure = _way(before["train"], after["train"], "accuracy") == "up"
        return (a.mean, b.mean) if sure and b.mean - a.mean >= TRAIN_GAIN else None
    span = t.span("solved")
    return span if span is not None and span[1] - span[0] >= TRAIN_GAIN else None


def _iterations(n: int) -> str:
    return "iteration" if n == 1 else f"{n} iterations"


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


LOOKS: tuple[Callable[[Trends, Known], list[Finding]], ...] = (
    _signal,
    _entropy,
    _truncated,
    _format,
    _length,
    _hacking,
    _gradients,
    _drift,
)
"""Every look at the history alone, in the order of a run: problems, samples, rewards, gradients, policy."""
