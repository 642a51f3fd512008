"""The report: what it says, what it draws, and that nothing in it can act."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sharpen.evaluation import Evaluation, Interval
from sharpen.run.charts import Series, chart, intervals, number, smooth, thin, ticks
from sharpen.run.diagnose import Finding
from sharpen.run.html import Html, escape, fold, join, tag
from sharpen.run.report import ReportData, page, write_report
from sharpen.run.rollouts_html import rollout, sample
from sharpen.run.samples import KINDS, kind, prompt, shown, sorted_samples

EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><style>*{display:none}</style>",
    "</pre></details></title>",
    "' onmouseover='alert(1)",
    "<!-- ",
    "&lt;b&gt;",
    "a\u202egnp.exe\u202c",
    "\u2066x\u2069\u200f",
    "\x1b[31m\x00\x08",
    "javascript:alert(1)",
    "\ud800",
]

VOID = {"meta", "br", "hr", "rect", "circle", "line", "polyline", "path"}


class Reader(HTMLParser):
    """Elements, attributes and text of a page; complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name, attrs):
        self.handle_startendtag(name, attrs)
        if name != "meta":
            self.open.append(name)

    def handle_startendtag(self, name, attrs):
        self.tags.add(name)
        self.names |= {key for key, _ in attrs}
        self.links += [v for k, v in attrs if k in ("href", "src", "xlink:href")]
        self.ids |= {v for k, v in attrs if k == "id"}

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text += data


def evaluation(accuracy: float, wide: float) -> dict:
    def around(x: float) -> Interval:
        return Interval(x - 0.02, x, x + 0.02)

    return Evaluation(500, 16, around(accuracy), around(accuracy), {16: around(wide)}, {}, 80.0).to_plain()


def history(steps: int = 30) -> list[dict]:
    return [
        {
            "step": k,
            "metrics": {
                "reward/total": k / steps,
                "solved": k / steps / 2,
                "entropy": 0.5,
                "grad_norm": 1.0,
                "lr": 1e-4,
            },
            "cost": {"generated_tokens": 1500 * (k + 1), "verifier_calls": 10 * (k + 1)},
        }
        for k in range(steps)
    ]


def pair(text: str, before: bool | None, after: bool | None) -> dict:
    return {
        "problem": text,
        "answer": text,
        "before": {"text": text, "solved": before},
        "after": {"text": text, "solved": after},
    }


def group(text: str) -> dict:
    segment = {"role": text, "text": text, "by": text, "trainable": True, "credit": 0.5}
    tokens = {"role": "assistant", "tokens": [{"text": text, "credit": 1.0}, {"text": "b", "credit": -0.1}]}
    trace = {"segments": [segment, tokens], "rewards": {text: 1.0}, "reward": 1.1, "solved": True, "end": text}
    return {"step": 3, "problem": [{"role": text, "content": text}], "answer": text, "traces": [trace]}


def data(text: str = "plain", **more) -> ReportData:
    values = {
        "title": f"title {text}",
        "manifest": {"recipe": text, text: {text: text}, "versions": {"torch": "2.0", text: text}},
        "composition": f"composition {text}",
        "history": history(),
        "evaluation": {"test": {"before": evaluation(0.1, 0.3), "after": evaluation(0.6, 0.8)}},
        "findings": [Finding("warning", f"finding {text}", f"Use `--set A.b=1`. {text}")],
        "samples": [pair(text, False, True)],
        "rollouts": [group(text)],
        "commands": {"Resume": f"sharpen train {text}"},
    }
    return ReportData(**(values | more))


@pytest.mark.parametrize("evil", EVIL)
def test_what_a_model_wrote_stays_text(evil: str):
    plain, bad = page(data("plain")), page(data(evil))
    a, b = Reader(plain), Reader(bad)
    # the same elements and attributes as a harmless page, and no more
    assert b.tags == a.tags
    assert b.names == a.names
    assert not b.tags & {"script", "img", "iframe", "link", "object"}
    assert not [n for n in b.names if n.startswith("on")]
    assert b.links == a.links
    assert all(link.startswith("#") for link in b.links)
    assert bad.count("<style>") == bad.count("</style>") == 1
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", bad)


def test_hidden_characters_are_shown_by_their_code():
    text = Reader(page(data("a\u202egnp.exe\u202c \x1b[31m"))).text
    assert "a⟨U+202E⟩gnp.exe⟨U+202C⟩ ⟨U+001B⟩[31m" in text
    assert escape("\"'<>&") == "&quot;&#x27;&lt;&gt;&amp;"


def test_the_page_loads_nothing():
    text = page(data())
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;" in text


def test_sections_and_links_agree():
    reader = Reader(page(data()))
    names = ["evaluation", "solutions", "findings", "curves", "cost", "rollouts", "recipe", "run", "manifest"]
    assert reader.links == [f"#{n}" for n in names]
    assert set(names) <= reader.ids


def test_sections_without_data_are_left_out():
    reader = Reader(page(ReportData("t", {}, "", [])))
    assert reader.links == []
    assert "so nobody can say whether the model learned" in reader.text
    healthy = Reader(page(data(findings=())))
    assert "None of the usual failures was seen in this run." in healthy.text


def test_figures_of_the_report():
    reader = Reader(page(data()))
    text = reader.text.replace("\u00a0", " ")
    assert (
        "The model learned: on new problems of the training kind, the share of right answers rose from 10.0 %" in text
    )
    assert "10.0 % 8.0 – 12.0" in text
    assert "+50.0 ▲" in text
    assert "generated tokens45 0001500" in text
    assert "verifier calls30010" in text
    assert "torch2.0" in text
    assert "warningfinding plain" in text
    assert "<code>--set A.b=1</code>" in page(data())
    assert "1 more metrics" in text


def test_unclear_changes_carry_no_mark():
    near = {"test": {"before": evaluation(0.1, 0.3), "after": evaluation(0.12, 0.31)}}
    text = page(data(evaluation=near))
    assert '<span class="unclear">+2.0</span>' in text
    assert "▲" not in Reader(text).text
    half = page(data(evaluation={"test": {"before": evaluation(0.1, 0.3)}}))
    assert "<td>–</td>" in half


def test_write_report_replaces_in_one_go(tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(path, data())
    assert path.read_text(encoding="utf-8") == page(data())
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert page(data()).startswith('<!doctype html>\n<html lang="en">')


def test_ticks_are_round_and_cover():
    assert ticks(0, 1) == (0.0, 0.5, 1.0)
    assert ticks(0, 0.8) == (0.0, 0.2, 0.4, 0.6, 0.8)
    assert ticks(0, 119) == (0.0, 50.0, 100.0, 150.0)
    assert ticks(-0.3, 0.4) == (-0.4, -0.2, 0.0, 0.2, 0.4)
    low_high = ticks(0, 0)
    assert low_high[0] < 0 < low_high[-1]


@pytest.mark.parametrize(
    ("x", "text"),
    [(0, "0"), (0.5, "0.5"), (1234, "1234"), (12345, "12.3k"), (2.5e6, "2.5M"), (1e-4, "1e-04"), (-0.25, "-0.25")],
)
def test_numbers_on_axes(x: float, text: str):
    assert number(x) == text


def test_thin_and_smooth():
    assert thin([(0, 1.0), (1, 3.0), (2, 5.0)], 2) == [(0.5, 2.0), (2, 5.0)]
    # 40 points: a reach of 2 each side, less near the ends
    points = [(k, float(k == 20)) for k in range(40)]
    mean = [y for _, y in smooth(points)]
    assert mean[17:24] == pytest.approx([0, 0.2, 0.2, 0.2, 0.2, 0.2, 0])
    assert smooth([(0, 5.0), (1, 1.0)]) == [(0, 5.0), (1, 1.0)]


def test_chart_geometry_and_hover():
    svg = chart("Solved", [Series("solved", [(0, 0.0), (10, 1.0)])], share=True).text
    # the plot spans x 46 to 332 and y 156 (0 %) to 8 (100 %)
    assert 'points="46.0,156.0 332.0,8.0"' in svg
    assert "<title>step 10\nsolved: 100.0 %</title>" in svg
    assert 'aria-label="Solved: solved from 0% to 100% over steps 0 to 10"' in svg
    assert svg.count("<rect") == 2
    assert chart("Nothing", [Series("x", [])]) == Html("")
    assert "circle" in chart("One", [Series("x", [(3, 2.0)])]).text
    assert 'points="46.0,156.0 332.0,8.0"' in chart("Above", [Series("x", [(0, 0.0), (10, 1.7)])], share=True).text


def test_chart_of_a_long_run_stays_small():
    series = [Series("x", [(k, math.sin(k)) for k in range(20000)])]
    assert len(chart("Long", series).text) < 30000


def test_intervals_draw_both_on_one_scale():
    svg = intervals(Interval(0.0, 0.5, 1.0), None).text
    assert 'x1="4" x2="154" y1="8" y2="8" class="bar before"' in svg
    assert "after" not in svg


def test_samples_that_changed_come_first():
    samples = [pair("a", True, True), pair("b", False, True), pair("c", True, False), pair("d", False, True)]
    samples += [pair("e", False, True), pair("f", None, True), pair("g", False, False)]
    assert "".join(s["problem"] for s in sorted_samples(samples)) == "bdcegaf"
    assert [kind(s) for s in samples[:3]] == [KINDS[3], KINDS[0], KINDS[1]]
    assert kind({"problem": "x", "before": {}}) == "not judged"
    assert "<details open>" in sample(samples[1]).text
    assert "<details><summary>" in sample(samples[0]).text


def test_each_split_shows_what_changed_both_ways():
    def of(split: str, text: str, before: bool, after: bool) -> dict:
        return pair(text, before, after) | {"split": split}

    samples = [of("test", f"t{k}", False, True) for k in range(9)] + [of("test", "bad", True, False)]
    samples += [of("harder", f"h{k}", True, False) for k in range(2)] + [of("harder", "same", True, True)]
    assert [s["problem"] for s in shown(samples, 12)] == ["t0", "t1", "bad", "t2", "t3", "t4", "h0", "h1", "same"]
    assert [s["problem"] for s in shown(samples, 1)] == ["t0", "t1", "bad", "h0", "h1", "same"]
    assert shown([], 12) == []
    # the first that turned right and the first that turned wrong are open, the others wait for a click
    text = page(data(samples=samples, rollouts=[]))
    opened = re.findall(r"<details open><summary><span[^>]*>([^<]*)</span>test · (\w+)", text)
    assert opened == [("wrong → right", "t0"), ("right → wrong", "bad")]
    assert text.count("<details open>") == 2


def test_rollouts_name_rewards_roles_and_credit():
    text = rollout(group("tool")).text
    assert '<span class="badge">total 1.1</span><span class="badge">tool 1</span>' in text
    assert "Step 3 · 1 of 1 solved · tool: tool" in text
    assert 'class="seg said tool"' in text
    assert "tool · by tool · trained on · credit 0.5" in text
    assert '<span class="p3" title="credit 1">tool</span><span class="n1" title="credit -0.1">b</span>' in text
    assert 'class="seg said other"' in rollout(group("narrator")).text
    assert "ended by length" in rollout({"problem": "p", "traces": [{"end": "length"}]}).text


def test_prompts():
    assert prompt("a") == "a"
    assert prompt([{"role": "user", "content": "hi"}, {"role": "tool", "content": "x"}]) == "user: hi\n\ntool: x"
    assert prompt(7) == "7"


def test_tags():
    assert tag("p", "a<b", join("c"), class_="x", data_y='"').text == '<p class="x" data-y="&quot;">a&lt;bc</p>'
    assert tag("line", x1=1.0, x2=2.345, hidden=True, id=None).text == '<line x1="1" x2="2.35" hidden/>'
    assert fold("s", "t", open_=True).text == "<details open><summary>s</summary>t</details>"


def test_named_rewards_stand_below_the_shares():
    both = {"before": evaluation(0.1, 0.3) | {"rewards": {"<b>": 0.25}}, "after": evaluation(0.1, 0.3)}
    text = Reader(page(data(evaluation={"test": both}))).text
    assert "reward <b>0.250–" in text
