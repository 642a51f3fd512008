"""Evaluations as plain data, and what two of them say."""

from __future__ import annotations

import pytest

from sharpen.errors import SharpenError
from sharpen.evaluation import Evaluation, Interval, change, comparisons
from sharpen.run.verdict import verdict
from sharpen.visible import one_line, printable, visible


def around(x: float) -> Interval:
    return Interval(x - 0.02, x, x + 0.02)


def of(accuracy: float, wide: float) -> dict:
    return Evaluation(500, 16, around(accuracy), pass_at={1: around(accuracy), 16: around(wide)}).to_plain()


def says(a: tuple[float, float], b: tuple[float, float]) -> str:
    return verdict(comparisons({"test": {"before": of(*a), "after": of(*b)}}))


def test_plain_round_trip():
    e = Evaluation(10, 4, around(0.5), around(0.4), {16: around(0.9), 1: around(0.5)}, {4: around(0.6)}, 12.5)
    plain = e.to_plain()
    assert list(plain) == ["accuracy", "greedy", "pass@1", "pass@16", "maj@4", "problems", "samples", "length"]
    assert plain["pass@16"] == [0.88, 0.9, 0.92]
    assert Evaluation.from_plain(plain) == e


def test_rewards_are_kept_and_compared():
    a = Evaluation(10, 4, around(0.5), rewards={"format": 0.25})
    assert a.to_plain()["rewards"] == {"format": 0.25}
    assert Evaluation.from_plain(a.to_plain()) == a
    pair = comparisons({"test": {"before": a.to_plain(), "after": of(0.5, 0.6) | {"rewards": {"steps": 1.0}}}})[0]
    assert pair.means() == [("reward format", 0.25, None), ("reward steps", None, 1.0)]


@pytest.mark.parametrize(
    ("change_", "said"),
    [
        ({"accuracy": [0.5, 0.4, 0.6]}, "accuracy is [0.5, 0.4, 0.6]; write [low, mean, high]"),
        ({"accuracy": [0.5, 0.6]}, "accuracy is [0.5, 0.6]; write [low, mean, high]"),
        ({"accuracy": [12.0, 15.0, 20.0]}, "finite shares from 0 to 1"),
        ({"pass@k": [0.1, 0.2, 0.3]}, "hold 'pass@k', which is no measure"),
    ],
)
def test_malformed_data_are_refused(change_: dict, said: str):
    with pytest.raises(SharpenError) as e:
        Evaluation.from_plain({"accuracy": [0.1, 0.2, 0.3], "problems": 5, "samples": 2} | change_)
    assert said in str(e.value)


def test_missing_entries_are_named():
    with pytest.raises(SharpenError) as e:
        Evaluation.from_plain({"accuracy": [0, 0, 0]})
    assert str(e.value) == "Evaluation data lack problems, samples; they hold accuracy."


def test_change_needs_intervals_apart():
    a = Interval(0.1, 0.2, 0.3)
    assert change(a, Interval(0.3, 0.4, 0.5)) == "unclear"
    assert change(a, Interval(0.31, 0.4, 0.5)) == "up"
    assert change(Interval(0.31, 0.4, 0.5), a) == "down"


def test_verdicts():
    up = says((0.12, 0.6), (0.74, 0.9))
    assert up == (
        "The model learned: on new problems of the training kind, the share of right answers rose from 12.0 % (10.0 to "
        "14.0) to 74.0 % (72.0 to 76.0); the 95 % intervals lie apart. It did not only sharpen: with 16 tries it "
        "solves "
        "more than before, pass@16 went from 60.0 % (58.0 to 62.0) to 90.0 % (88.0 to 92.0)."
    )
    assert "It mostly sharpened: it finds more often what it could find before in 16 tries" in says(
        (0.2, 0.6), (0.5, 0.61)
    )
    assert "It lost breadth" in says((0.2, 0.6), (0.5, 0.55))
    assert "pass@16 cannot show new skill" in says((0.2, 0.96), (0.5, 0.97))
    same = says((0.2, 0.6), (0.21, 0.61))
    assert same.startswith("No change that 500 problems can tell from chance")
    assert "With 16 tries it is the same within error" in same
    assert says((0.5, 0.6), (0.2, 0.6)).startswith("The model got worse")
    assert verdict([]) == (
        "There is no evaluation before and after training, so this report cannot say whether the model learned."
    )


def test_harder_problems_have_their_own_sentence():
    pair = {"before": of(0.1, 0.3), "after": of(0.5, 0.7)}
    text = verdict(comparisons({"harder": pair, "test": pair}))
    assert text.startswith("The model learned: on new problems")
    assert text.endswith("It carries over to harder problems: from 10.0 % (8.0 to 12.0) to 50.0 % (48.0 to 52.0).")


def test_accuracy_is_not_repeated_as_pass_at_1():
    pair = comparisons({"test": {"before": of(0.1, 0.3), "after": of(0.5, 0.7)}})[0]
    assert [row[0] for row in pair.rows()] == ["accuracy", "pass@16"]
    resampled = dict(of(0.5, 0.7)) | {"pass@1": [0.4, 0.5, 0.6]}
    pair = comparisons({"test": {"after": resampled}})[0]
    assert [row[0] for row in pair.rows()] == ["accuracy", "pass@16"]
    other = dict(of(0.5, 0.7)) | {"pass@1": [0.4, 0.55, 0.6]}
    pair = comparisons({"test": {"before": of(0.1, 0.3), "after": other}})[0]
    assert [row[0] for row in pair.rows()] == ["accuracy", "pass@1", "pass@16"]


def test_visible_shows_what_cannot_be_seen():
    assert visible("a\n\tb é 漢 🙂") == "a\n\tb é 漢 🙂"
    assert visible("\x1b[31m\x00\x7f\r") == "⟨U+001B⟩[31m⟨U+0000⟩⟨U+007F⟩⟨U+000D⟩"
    assert visible("a\u202eb\u2066c\u200bd\ufeff\u2028\U000e0041") == (
        "a⟨U+202E⟩b⟨U+2066⟩c⟨U+200B⟩d⟨U+FEFF⟩⟨U+2028⟩⟨U+E0041⟩"
    )
    assert visible("\ud800") == "⟨U+D800⟩"
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert printable("a…b", "ascii") == "a\\u2026b"
