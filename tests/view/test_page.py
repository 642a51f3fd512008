"""Every view in a browser, clicked and keyed through.

With `SHARPEN_PICTURES=FOLDER` pictures of the views are written there.
"""

from __future__ import annotations

import shutil

import pytest

from browsing import PICTURES, Watched, served
from sharpen.run.directory import RunDir
from sharpen.run.rollouts import read_rollouts

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import expect

NUMBERS = {"copy/dr-grpo": 0, "copy/grpo": 1, "sure": 2, "tree": 3, "walk": 4}


def test_runs_to_overview_by_keys_alone(look):
    look.go("/")
    assert look.texts("td.name a") == list(NUMBERS)
    assert look.page.locator(".spark").count() == 5
    look.picture("runs")
    for key in ("j", "j"):
        look.page.keyboard.press(key)
    assert look.texts("tr.at td.name a") == ["copy/grpo"]
    look.page.keyboard.press("Enter")
    look.at("/run/1")
    assert look.page.locator("h1").inner_text() == "copy/grpo"
    assert look.page.locator("figure.chart").count() == 4
    assert "before" in look.page.locator(".verdict").inner_text()
    look.picture("overview")
    for key, path in (("c", "curves"), ("o", "rollouts"), ("e", "evaluation"), ("m", "recipe")):
        look.page.keyboard.press(key)
        look.at(f"/run/1/{path}")
        look.page.keyboard.press("Escape")
        look.at("/run/1")
    look.page.keyboard.press("?")
    assert "its recipe" in look.page.locator("#keys").inner_text()
    look.page.keyboard.press("Escape")
    assert look.page.locator("#keys").count() == 0
    look.page.keyboard.press("Escape")
    look.at("/")


def test_curves_of_two_runs_together(look):
    look.go("/")
    look.page.get_by_label("pick copy/dr-grpo").check()
    look.page.get_by_label("pick copy/grpo").check()
    look.page.get_by_role("link", name="Curves of 2 runs together").click()
    look.at("/curves")
    assert look.page.locator('figure[data-title="solved"] polyline.mean').count() == 2
    assert look.page.locator('figure[data-title="kl"] polyline.mean').count() == 1  # only one of them has it
    look.picture("curves")
    look.page.get_by_role("button", name="lr", exact=True).click()
    assert look.page.locator('figure[data-title="lr"]').count() == 1
    look.page.get_by_label("along").select_option("tokens")
    assert "generated tokens" in look.page.locator('figure[data-title="solved"] svg').text_content()
    assert "axis=tokens" in look.page.url
    plot = look.page.locator('figure[data-title="solved"] svg')
    plot.focus()
    look.page.keyboard.press("Home")
    first = look.page.locator('figure[data-title="solved"] .readout').inner_text()
    look.page.keyboard.press("End")
    last = look.page.locator('figure[data-title="solved"] .readout').inner_text()
    assert first.startswith("generated tokens")
    assert first != last
    plot.hover()
    assert all("%" in t for t in look.texts('figure[data-title="solved"] .key'))  # each curve with its figure
    look.page.get_by_label("find a metric").fill("reward/")
    assert all(t.startswith("reward/") for t in look.texts(".chip"))


def test_seeds_of_a_study_together(browser, seeds):
    with served(seeds) as address:
        look = Watched(browser, address)
        look.go("/")
        look.page.keyboard.press("/")
        look.page.keyboard.type("dr-grpo on")
        assert look.texts("td.name a") == ["dr-grpo-seed0", "dr-grpo-seed1", "dr-grpo-seed2"]
        look.page.keyboard.press("Escape")
        assert look.page.get_by_label("find runs").input_value() == "dr-grpo on"
        assert look.page.get_by_role("button", name="Pick all 3").count() == 1
        look.page.get_by_label("find runs").fill("")
        look.page.get_by_role("button", name="Pick all 6").click()
        assert look.page.locator("td.tick input:checked").count() == 6
        assert look.page.get_by_role("button", name="Pick none").count() == 1
        look.page.get_by_role("link", name="Curves of 6 runs together").click()
        look.at("/curves")
        chart = look.page.locator('figure[data-title="held-out accuracy"]')
        assert chart.locator("polyline.mean").count() == 2
        assert chart.locator("polygon.area").count() == 2
        look.picture("seeds")
        # the figures are those of the runs
        ends = [
            [RunDir(seeds / f"{r}-seed{k}").read_curve()[-1]["accuracy"] for k in range(3)] for r in ("dr-grpo", "grpo")
        ]
        chart.locator("svg").focus()
        look.page.keyboard.press("End")
        assert chart.locator(".readout").inner_text() == "step 6"
        told = [f"{100 * sum(y) / 3:.1f} % ({100 * min(y):.1f} % – {100 * max(y):.1f} %)" for y in ends]
        names = [f"{r} on benches.py:Noisy, 3 seeds" for r in ("dr-grpo", "grpo")]
        assert [t.strip() for t in chart.locator(".key").all_inner_texts()] == [
            f"{n} {t}" for n, t in zip(names, told, strict=True)
        ]
        chart.locator("svg").blur()
        look.page.keyboard.press("s")
        assert "seeds=apart" in look.page.url
        assert chart.locator("polyline.mean").count() == 6
        assert chart.locator("polygon.area").count() == 0
        look.page.get_by_label("along").select_option("tokens")
        look.page.keyboard.press("s")
        assert chart.locator("polygon.area").count() == 2
        look.close()


def test_rollouts_filtered_sorted_and_walked(look, runs):
    look.go("/run/1/rollouts")
    status = look.page.locator("p[role=status]")
    assert status.inner_text() == "1 to 50 of 192"
    look.picture("rollouts")
    look.page.get_by_role("button", name="after ›").click()
    expect(status).to_have_text("51 to 100 of 192")
    look.page.keyboard.press("p")
    expect(status).to_have_text("1 to 50 of 192")
    look.page.get_by_label("verdict").select_option("yes")
    expect(status).to_contain_text("that fit, 192 in all")
    assert set(look.texts("tbody td[data-label=verdict]")) == {"✓ right"}
    look.page.get_by_label("reward from").fill("5")
    expect(status).to_have_text("none of 192 fits")
    look.page.get_by_role("button", name="clear").click()
    expect(status).to_have_text("1 to 50 of 192")
    look.page.get_by_role("button", name="tokens").click()
    expect(look.page.locator("th[aria-sort=descending]")).to_contain_text("tokens")
    lengths = [int(t) for t in look.texts("tbody td[data-label=tokens]")]
    assert lengths == sorted(lengths, reverse=True)
    look.page.locator("h1").click()
    look.page.keyboard.press("/")
    assert look.page.evaluate("document.activeElement.id") == "f-text"
    look.page.keyboard.type("3?")
    expect(status).to_contain_text("that fit")
    assert set(look.texts("tbody td.name")) == {"3?"}
    look.page.keyboard.press("Escape")
    look.page.keyboard.press("j")
    look.page.keyboard.press("j")
    second = look.page.locator("tr.at td.name a").get_attribute("href")
    look.page.keyboard.press("Enter")
    look.at(second.removeprefix("#"))
    look.page.keyboard.press("k")
    expect(look.page.locator("#main")).not_to_have_attribute("data-shown", second.removeprefix("#"))
    look.page.keyboard.press("Escape")
    look.at("/run/1/rollouts")
    assert "text=3" in look.page.url  # the list is as it was left
    expect(look.page.locator("#f-text")).to_have_value("3?")


def test_a_trace_and_its_tokens(look):
    look.go("/run/2/rollouts?sort=length&down=yes")
    look.page.locator("tbody td.name a").first.click()
    look.page.wait_for_selector(".tok")
    select = look.page.get_by_label("colour tokens by")
    assert select.input_value() == "adv"
    tints = look.page.locator(".tok.plus, .tok.minus").count()
    assert tints == look.page.locator(".tok").count()
    assert look.page.locator(".ramp.both").count() == 1
    select.select_option("entropy")
    assert look.page.locator(".tok.plain").count() == tints
    look.page.locator(".tok").nth(1).hover()
    told = look.page.locator(".token").inner_text()
    assert "token 2" in told
    assert "entropy" in told
    assert "log-prob when drawn" in told
    look.picture("trace")
    look.page.locator(".said[tabindex]").first.focus()
    look.page.keyboard.press("End")
    assert "<eos>" in look.page.locator(".token").inner_text()
    look.page.keyboard.press("g")
    look.page.wait_for_selector("article.trace")
    assert look.page.locator("article.trace").count() == 16
    assert look.page.get_by_label("colour tokens by").input_value() == "entropy"  # what was chosen stays
    assert "confidence" in look.page.locator("article.trace").first.inner_text()
    look.picture("group")
    look.page.keyboard.press("j")
    look.page.keyboard.press("Enter")
    look.page.wait_for_selector(".segments")


def test_tokens_are_cells_where_the_run_has_no_tokenizer(browser, copied, tmp_path):
    run = copied("copy/grpo")
    shutil.rmtree(run / "policy")
    row = next(r for r in read_rollouts(run) if r["end"] == "stop" and r["length"] > 1)
    with served(tmp_path / "own") as address:
        look = Watched(browser, address)
        look.go(f"/run/0/rollouts/{row['step']}/{row['group']}/{row['trace']}")
        assert look.page.locator("div.strip i.tok").count() == row["length"]
        assert "no tokenizer yet" in look.page.locator(".token").inner_text()
        assert row["segments"][-1]["text"] in look.page.locator(".seg.assistant").inner_text()
        look.page.locator("div.strip").focus()
        look.page.keyboard.press("ArrowRight")
        told = look.page.locator(".token").inner_text()
        assert "token 2" in told
        assert "credit" in told
        look.close()


def test_the_tree_of_a_search(look, runs):
    found: dict[tuple[int, int], list[bool]] = {}
    for r in read_rollouts(runs / "tree", range(1, 9)):  # the value model knows something by then
        found.setdefault((r["step"], r["group"]), []).append(r["solved"])
    (step, group), verdicts = max(found.items(), key=lambda f: (min(3, sum(f[1])), len(f[1])))
    look.go(f"/run/3/rollouts/{step}/{group}/tree")
    assert look.page.locator("span.end").count() == len(verdicts)
    items = look.page.locator("[role=treeitem]")
    assert items.count() > 4
    assert "visits" in look.page.locator(".facts").nth(1).inner_text()
    assert "value" in look.page.locator(".facts").nth(1).inner_text()
    assert look.page.locator(".sketch circle").count() == items.count()
    look.picture("tree")
    items.first.focus()
    look.page.keyboard.press("ArrowLeft")
    assert items.first.get_attribute("aria-expanded") == "false"
    assert look.page.locator("[role=treeitem]:visible").count() == 1
    look.page.keyboard.press("ArrowRight")
    look.page.keyboard.press("ArrowDown")
    assert look.page.evaluate("document.activeElement.getAttribute('aria-level')") == "2"
    look.page.locator("span.end a").first.click()
    look.page.wait_for_selector(".segments")


def test_turns_of_an_episode(look):
    look.go("/run/4/rollouts?sort=reward&down=yes")
    look.page.locator("tbody td.name a").first.click()
    look.page.wait_for_selector(".segments")
    look.page.keyboard.press("e")
    look.page.wait_for_selector(".turns")
    turns = look.page.locator("li.turn").count()
    assert turns >= 2
    assert look.page.locator("svg.strip .hit").count() == turns
    assert "@" in look.page.locator("li.turn .seen").first.inner_text()
    assert "reward 1" in look.page.locator("li.turn").last.inner_text()
    look.picture("turns")
    look.page.keyboard.press("j")
    assert look.page.locator("li.turn.at h2").inner_text() == "Turn 1"
    look.page.keyboard.press("Escape")
    look.page.wait_for_selector(".segments")


def test_evaluation_and_calibration(look):
    look.go("/run/2/evaluation")
    assert look.page.locator('figure[data-title="pass@k"] polyline.mean').count() == 4  # two splits, before and after
    assert "ECE" in look.page.locator(".calibrated").inner_text()
    assert look.page.locator("svg.calibration circle").count() >= 3
    look.picture("evaluation")
    if PICTURES:
        look.page.locator(".calibrated").scroll_into_view_if_needed()
        look.picture("calibration")
    assert look.page.locator("details").count() == 8
    look.page.locator("summary").first.click()
    assert look.page.locator("details[open] .sides h3").count() == 2


def test_recipe(look):
    look.go("/run/0/recipe")
    assert look.page.locator(".box.removed").count() == 3  # the reference, what scores by it, and the term that uses it
    assert "16 8" in look.page.locator(".box.changed .field").first.inner_text().replace("\n", " ")
    look.picture("recipe")
    look.page.keyboard.press("c")
    assert look.page.locator(".box.removed").count() == 0
    assert "the built-in recipe" in look.page.locator("section.card h2").inner_text()
    look.go("/run/3/recipe")
    assert "train value" in "".join(look.texts(".box h4"))
