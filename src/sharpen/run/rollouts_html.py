"""Solutions and rollouts as HTML: who wrote what, what it earned, and what changed by training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.run.charts import number
from sharpen.run.html import Child, Html, fold, join, tag
from sharpen.run.samples import KINDS, kind, prompt
from sharpen.visible import one_line

ROLES = frozenset({"system", "user", "assistant", "tool"})
"""Roles with a colour of their own; the rest share one."""


def sample(entry: Mapping[str, Any], open_: bool = True) -> Html:
    """One problem solved before and after training, side by side; open where the answer changed, if it may be."""
    name = kind(entry)
    tone = {KINDS[0]: "yes", KINDS[1]: "no"}.get(name, "")
    split = f"{entry['split']} · " if entry.get("split") else ""
    title = join(tag("span", name, class_=f"badge {tone}".strip()), split + one_line(prompt(entry["problem"]), 120))
    sides = [_side(word, entry.get(word) or {}) for word in ("before", "after")]
    return fold(title, *_problem(entry), tag("div", sides, class_="sides"), open_=open_ and name in KINDS[:2])


def _side(word: str, side: Mapping[str, Any]) -> Html:
    return tag(
        "div", tag("h4", word.capitalize(), " ", _verdict(side.get("solved"))), tag("pre", str(side.get("text", "–")))
    )


def _problem(entry: Mapping[str, Any]) -> list[Child]:
    out: list[Child] = [tag("pre", prompt(entry["problem"]))]
    if entry.get("answer") is not None:
        out.append(tag("p", f"Expected answer: {entry['answer']}", class_="soft"))
    return out


def rollout(group: Mapping[str, Any], open_: bool = False) -> Html:
    """One group: its problem, and every trace with its rewards and segments."""
    traces = group.get("traces", ())
    judged = [t for t in traces if t.get("solved") is not None]
    score = f"{sum(bool(t['solved']) for t in judged)} of {len(judged)} solved" if judged else f"{len(traces)} traces"
    title = f"Step {group.get('step', '–')} · {score} · {one_line(prompt(group['problem']), 110)}"
    return fold(title, *_problem(group), [_trace(k, t) for k, t in enumerate(traces)], open_=open_)


def _trace(k: int, trace: Mapping[str, Any]) -> Html:
    badges = [tag("span", f"trace {k + 1}", class_="badge"), _verdict(trace.get("solved"))]
    if trace.get("reward") is not None:
        badges.append(tag("span", f"total {number(float(trace['reward']))}", class_="badge"))
    badges += [
        tag("span", f"{name} {number(float(v))}", class_="badge") for name, v in trace.get("rewards", {}).items()
    ]
    if trace.get("end", "stop") != "stop":
        badges.append(tag("span", f"ended by {trace['end']}", class_="badge no"))
    return tag("article", tag("div", badges), [_segment(s) for s in trace.get("segments", ())])


def _segment(segment: Mapping[str, Any]) -> Html:
    role = str(segment.get("role", "other"))
    who = [role]
    if segment.get("by"):
        who.append(f"by {segment['by']}")
    if segment.get("trainable"):
        who.append("trained on")
    if segment.get("credit") is not None:
        who.append(f"credit {number(float(segment['credit']))}")
    tokens = segment.get("tokens")
    said = _tokens(tokens) if tokens else [join(str(segment.get("text") or ""))]
    label = tag("span", " · ".join(who), class_="who")
    return tag("div", label, said, class_=f"seg said {role if role in ROLES else 'other'}")


def _tokens(tokens: Sequence[Mapping[str, Any]]) -> list[Html]:
    """Tokens tinted by credit, in three strengths relative to the largest of the segment."""
    most = max((abs(float(t.get("credit") or 0.0)) for t in tokens), default=0.0) or 1.0
    out = []
    for t in tokens:
        credit = float(t.get("credit") or 0.0)
        level = min(3, 1 + int(3 * abs(credit) / most)) if credit else 0
        class_ = f"{'p' if credit > 0 else 'n'}{level}" if level else None
        out.append(tag("span", str(t["text"]), class_=class_, title=f"credit {number(credit)}"))
    return out


def _verdict(solved: Any) -> Html:
    if solved is None:
        return tag("span", "not judged", class_="badge")
    return tag("span", "right" if solved else "wrong", class_=f"badge {'yes' if solved else 'no'}")
