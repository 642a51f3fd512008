"""Every finding just above and just below its threshold; a healthy run gives none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest

from sharpen.evaluation import Evaluation, Interval
from sharpen.run.diagnose import Finding, diagnose
from sharpen.run.remedies import Known
from sharpen.run.trends import Trends, window

STEPS = 20
Values = float | Callable[[int], float]

HEALTHY: dict[str, Values] = {
    "reward/total": lambda k: 0.2 + 0.025 * k,
    "reward/correct": lambda k: 0.2 + 0.02 * k,
    "reward/format": lambda k: 0.5 + 0.02 * k,
    "groups/signal": 0.6,
    "solved": lambda k: 0.2 + 0.02 * k,
    "group/all_failed": 0.3,
    "group/all_solved": 0.1,
    "length": lambda k: 100.0 + k,
    "truncated": 0.02,
    "entropy": lambda k: 0.5 - 0.01 * k,
    "kl": 0.05,
    "ratio": 1.0,
    "clipped": 0.02,
    "grad_norm": lambda k: 0.5 + 0.1 * (k % 3),
    "agreement/mean": 0.001,
}


def run(steps: int = STEPS, **changes: Values | None) -> list[dict]:
    """A healthy history with some metrics replaced (`__` is a slash) or, by None, left out."""
    values = HEALTHY | {name.replace("__", "/"): v for name, v in changes.items()}
    return [
        {"step": k, "metrics": {n: v(k) if callable(v) else v for n, v in values.items() if v is not None}, "cost": {}}
        for k in range(steps)
    ]


def linear(a: float, b: float, steps: int = STEPS) -> Callable[[int], float]:
    """Level `a` over the first fifth, `b` over the last, in between half-way."""
    w = window(steps)
    return lambda k: a if k < w else b if k >= steps - w else (a + b) / 2


def only(history: list[dict], **more) -> Finding:
    """The single finding."""
    found = diagnose(history, **more)
    assert len(found) == 1, [f.title for f in found]
    return found[0]


def evaluation(accuracy: float, wide: float | None = None, half: float = 0.02) -> Evaluation:
    def around(x: float) -> Interval:
        return Interval(x - half, x, x + half)

    return Evaluation(500, 16, around(accuracy), pass_at={16: around(wide)} if wide else {})


def test_healthy_run_has_no_finding():
    before, after = {"test": evaluation(0.2, 0.6)}, {"test": evaluation(0.6, 0.7)}
    assert diagnose(run(), before, after, Known(samples=8, max_tokens=256)) == []
    assert diagnose([]) == []
    assert diagnose([{"step": 0, "metrics": {}, "cost": {}}, {"step": 1}]) == []


def test_levels_are_means_of_the_first_and_the_last_fifth():
    t = Trends(run(reward__total=float))
    assert window(20) == 4
    assert window(1) == 1
    assert window(1000) == 20
    assert t.span("reward/total") == (1.5, 17.5)
    assert Trends(run(9)).span("reward/total") is None
    assert Trends(run(solved=lambda k: math.nan if k > 15 else 0.5)).now("solved") == 0.5


@pytest.mark.parametrize(("share", "severity"), [(0.74, None), (0.75, "warning"), (0.979, "warning"), (0.98, "stop")])
def test_all_failed(share: float, severity: str | None):
    history = run(group__all_failed=share, groups__signal=1 - share)
    found = diagnose(history, known=Known(samples=8, recipes=frozenset({"grpo", "GHPO"})))
    found = [f for f in found if f.title == "Most problems are too hard"]
    assert [f.severity for f in found] == ([severity] if severity else [])
    if share == 0.75:
        assert found[0].text == (
            "All 8 samples failed on 75.0 % of the problems over the last 4 iterations, so most groups give no "
            "gradient. Try an easier mix of problems, supervised warm-up first (`sharpen train sft`), more samples "
            "a problem (`--set Sample.n=32`), or a recipe that gives hints (GHPO)."
        )


def test_hints_are_offered_only_where_a_recipe_gives_them():
    text = only(run(group__all_failed=0.8, groups__signal=0.2)).text
    assert text.endswith("or more samples a problem (`--set Sample.n=32`).")
    assert "hint" not in text
    assert "All samples failed" in text


def test_failing_groups_that_learn_from_another_reward_are_a_note():
    found = only(run(group__all_failed=0.8, groups__signal=0.51))
    assert (found.severity, found.title) == ("note", "Learning from other rewards only")
    assert only(run(group__all_failed=0.8, groups__signal=0.5)).title == "Most problems are too hard"


def test_all_solved():
    assert diagnose(run(group__all_solved=0.749)) == []
    found = only(run(group__all_solved=0.75))
    assert found.severity == "note"
    assert found.text.startswith("Every sample was right on 75.0 % of the problems over the last 4 iterations")
    assert found.text.endswith("Train on harder problems, or stop.")


def test_few_groups_with_signal():
    assert diagnose(run(groups__signal=0.1)) == []
    found = only(run(groups__signal=0.099), known=Known(recipes=frozenset({"dapo"})))
    assert found.title == "Few groups give a gradient"
    assert found.text.startswith("Only 9.9 % of the groups gave a gradient over the last 4 iterations")
    assert found.text.endswith("until groups are mixed (dapo).")


def test_entropy_collapse_needs_both_a_fall_and_a_low_level():
    assert diagnose(run(entropy=linear(0.6, 0.0501))) == []
    assert diagnose(run(entropy=linear(0.4, 0.0401))) == []
    found = only(run(entropy=linear(0.6, 0.0499)))
    assert found.title == "Entropy collapsed"
    assert found.severity == "warning"
    assert found.text.startswith("Entropy fell from 0.600 to 0.050 nats a token")
    for remedy in ("AdamW.scale=0.3", "KL term", "--set PPOClip.high=0.28"):
        assert remedy in found.text


def test_low_entropy_on_a_solved_task_is_a_note():
    assert only(run(entropy=linear(0.6, 0.01), solved=linear(0.2, 0.95))).severity == "note"
    assert only(run(entropy=linear(0.6, 0.01), solved=linear(0.2, 0.949))).severity == "warning"


def test_truncated():
    assert diagnose(run(truncated=0.499)) == []
    found = only(run(truncated=0.5), known=Known(max_tokens=256))
    assert found.severity == "warning"
    assert found.text.startswith("50.0 % of the answers ended at the limit of 256 tokens")
    assert "`--max-tokens 512`" in found.text
    assert only(run(truncated=0.95)).severity == "stop"
    assert "`--max-tokens`" in only(run(truncated=0.949)).text


def test_format_never():
    assert diagnose(run(reward__format=0.021)) == []
    found = only(run(reward__format=0.02))
    assert found.title == "The answer format never appears"
    assert "Warm the model up on worked solutions (`sharpen train sft`)" in found.text
    assert diagnose(run(reward__format=0.0), known=Known(format="boxed")) == []
    cut = {f.title: f.text for f in diagnose(run(reward__format=0.0, truncated=0.6))}
    assert "Raise `--max-tokens` first" in cut["The answer format never appears"]


def test_length_grows_without_gain():
    flat = {"solved": 0.4, "reward__total": 0.4}
    assert diagnose(run(length=linear(100, 150), **flat)) == []
    found = only(run(length=linear(100, 151), **flat))
    assert found.title == "Answers grow without getting better"
    assert "grew from 100 to 151 tokens while the share solved went from 40.0 % to 40.0 %" in found.text
    grown = {"length": linear(100, 151), "reward__total": 0.4}
    assert diagnose(run(solved=linear(0.4, 0.4201), **grown)) == []
    assert len(diagnose(run(solved=linear(0.4, 0.4199), **grown))) == 1


def test_reward_rises_and_solved_does_not():
    hacked = {"solved": 0.3, "reward__correct": 0.3, "reward__format": 0.9}
    assert diagnose(run(reward__total=linear(0.5, 0.599), **hacked)) == []
    found = only(run(reward__total=linear(0.5, 0.601), reward__brevity=linear(0.1, 0.9), **hacked))
    assert found.title == "Reward rises but problems are not solved"
    assert "rose from 0.500 to 0.601, most of it from 'brevity' (0.100 to 0.900)" in found.text
    assert "rollouts" in found.text
    assert diagnose(run(reward__total=linear(0.5, 0.9), **(hacked | {"solved": linear(0.3, 0.3201)}))) == []
    assert diagnose(run(reward__total=linear(0.5, 0.9), **(hacked | {"solved": 0.96}))) == []


def test_only_the_format_was_learned():
    found = only(run(reward__total=linear(0.1, 0.3), solved=0.1, reward__correct=0.1, reward__format=linear(0.1, 0.9)))
    assert (found.severity, found.title) == ("note", "Only the format was learned")


def test_gradient_spikes():
    def spiky(size: float, *at: int) -> Callable[[int], float]:
        return lambda k: size if k in at else 1.0

    assert diagnose(run(grad_norm=spiky(10.0, 5))) == []
    assert only(run(grad_norm=spiky(10.1, 5))).severity == "note"
    assert only(run(grad_norm=spiky(10.1, 5, 6))).severity == "note"
    found = only(run(grad_norm=spiky(10.1, 5, 6, 9)))
    assert found.severity == "warning"
    assert "usually 1 but reached 10.1 (3 times above 10 times the usual, first at step 5)" in found.text


def test_zero_gradient():
    assert diagnose(run(grad_norm=2e-8)) == []
    found = only(run(grad_norm=lambda k: 0.5 if k < 10 else 0.0))
    assert (found.severity, found.title) == ("stop", "No gradient arrives")


def test_gradient_that_is_not_a_number_comes_first():
    found = diagnose(run(grad_norm=lambda k: math.nan if k == 7 else 1.0, truncated=0.6))
    assert [f.severity for f in found] == ["stop", "warning"]
    assert "at step 7 (once in all)" in found[0].text


@pytest.mark.parametrize(
    ("name", "below", "above", "title"),
    [
        ("kl", 0.999, 1.0, "Far from the reference"),
        ("clipped", 0.299, 0.3, "Too much is clipped"),
        ("agreement__mean", 0.0499, 0.05, "Sampler and trainer disagree"),
    ],
)
def test_levels_of_drift(name: str, below: float, above: float, title: str):
    assert diagnose(run(**{name: below})) == []
    assert only(run(**{name: above})).title == title


def test_sharpened_at_the_cost_of_breadth():
    before = {"test": evaluation(0.2, 0.6)}
    # intervals of half-width 0.02: the means must be more than 0.04 apart
    assert diagnose(run(), before, {"test": evaluation(0.4, 0.57)}) == []
    found = only(run(), before=before, after={"test": evaluation(0.4, 0.55)})
    assert found.title == "Sharpened at the cost of breadth"
    assert "pass@16 fell from 60.0 % (58.0 to 62.0) to 55.0 % (53.0 to 57.0)" in found.text


def test_training_problems_only():
    before, flat = {"test": evaluation(0.2)}, {"test": evaluation(0.22)}
    found = only(run(solved=linear(0.2, 0.301)), before=before, after=flat)
    assert found.title == "Learned the training problems only"
    assert "rose from 20.0 % to 30.1 %" in found.text
    assert diagnose(run(solved=linear(0.2, 0.299)), before, flat) == []
    assert diagnose(run(solved=linear(0.2, 0.5)), {"test": evaluation(0.96)}, {"test": evaluation(0.97)}) == []


def test_training_gain_is_taken_from_the_evaluation_where_there_is_one():
    before = {"test": evaluation(0.2), "train": evaluation(0.2)}
    after = {"test": evaluation(0.22), "train": evaluation(0.22)}
    assert diagnose(run(), before, after) == []
    found = only(run(), before=before, after=after | {"train": evaluation(0.7)})
    assert "rose from 20.0 % to 70.0 %" in found.text


def test_got_worse():
    before = {"test": evaluation(0.5)}
    flat = run(solved=0.3, reward__total=0.3)
    assert diagnose(flat, before, {"test": evaluation(0.47)}) == []
    assert only(flat, before=before, after={"test": evaluation(0.45)}).title == "The model got worse"


def test_remedies_name_only_options_there_are():
    from sharpen.overrides import options, override
    from sharpen.recipes import all_recipes

    troubles = [
        run(groups__signal=0.05),
        run(group__all_failed=0.9, groups__signal=0.05),
        run(entropy=linear(0.5, 0.01)),
        run(kl=2.0),
        run(clipped=0.9),
        run(length=linear(100.0, 200.0), solved=0.2),
        run(grad_norm=lambda k: 100.0 if k in (5, 9, 12) else 0.5),
    ]
    for r in all_recipes().values():
        known = Known(samples=8, max_tokens=256, options=options(r))
        texts = [f.text for history in troubles for f in diagnose(history, known=known)]
        changes = [re.findall(r"--set (\S+?=[^\s`]+)", text) for text in texts]
        assert sum(map(len, changes)) >= (4 if r.name == "grpo" else 0), r.name
        for change in changes:
            override(r, change)  # raises for an option that is not there


def test_remedies_start_from_the_values_of_the_recipe():
    known = Known(options={"AdamW.scale": 5.0, "Term.kl.weight": 0.04})
    assert only(run(kl=2.0), known=known).text.endswith(
        "Lower the learning rate (`--set AdamW.scale=1.5`) or give the KL term more weight "
        "(`--set Term.kl.weight=0.1`)."
    )
