"""The page on any screen, with hostile runs, live ones, and a server that refuses or is gone."""

from __future__ import annotations

import pytest

from browsing import NARROW, Watched, served
from sharpen.run.directory import RunDir
from viewed import EVIL

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import expect

VIEWS = (
    "/",
    "/curves",
    "/run/1",
    "/run/1/curves",
    "/run/1/rollouts",
    "/run/1/rollouts/0/0",
    "/run/1/rollouts/0/0/0",
    "/run/3/rollouts/0/0/tree",
    "/run/4/rollouts/0/0/0/turns",
    "/run/2/evaluation",
    "/run/0/recipe",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_needs_no_scrolling_sideways(browser, here, scheme):
    look = Watched(browser, here, NARROW, scheme)
    for view in VIEWS:
        look.go(view)
        assert look.wide() <= 0, view
        if scheme == "light" and view in ("/run/1/rollouts", "/run/3/rollouts/0/0/tree"):
            look.picture(f"narrow-{view.rsplit('/', 1)[1]}")
    look.close()


def test_dark_and_light_differ(browser, here):
    colours = []
    for scheme in ("light", "dark"):
        look = Watched(browser, here, scheme=scheme)
        look.go("/curves")
        colours.append(look.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        if scheme == "dark":
            look.picture("dark")
        look.close()
    assert colours[0] != colours[1]


def test_hostile_rollouts_are_shown_and_do_nothing(browser, evil, tmp_path):
    with served(tmp_path / "own") as address:
        look = Watched(browser, address)
        for view in ("/", "/run/0", "/run/0/curves", "/run/0/rollouts", "/run/0/evaluation", "/run/0/recipe"):
            look.go(view)
        for k, text in enumerate(EVIL):
            look.go(f"/run/0/rollouts/0/0/{k}")
            shown = look.page.locator(".segments").inner_text()
            if k in (0, 1, 2, 7):
                assert text in shown.replace("↵", "")
            assert "\x1b" not in shown
        look.go("/run/0/rollouts/0/0")
        assert look.page.locator("article.trace").count() == len(EVIL)
        look.go("/run/0/rollouts/0/0/tree")
        look.go("/run/0/rollouts/0/0/0/turns")
        look.go("/run/0/evaluation")
        for fold in look.page.locator("summary").all():
            fold.click()
        look.page.wait_for_timeout(200)
        assert look.page.evaluate("window.hit") is None
        for tag in ("iframe", "object", "embed", "img", "main script", "a[href^=javascript]", "a[href^=http]"):
            assert look.page.locator(tag).count() == 0, tag
        look.close()


def test_markup_cannot_be_made_of_text(look):
    look.meant = "TrustedHTML"
    look.go("/")
    refused = look.page.evaluate(
        "(() => { try { document.body.innerHTML = '<b>x</b>'; } catch (e) { return e.name } })()"
    )
    assert refused == "TypeError"


def test_a_line_that_is_appended_appears(browser, copied, tmp_path):
    run = RunDir(copied("copy/grpo"))
    with served(tmp_path / "own") as address, run.lock():
        look = Watched(browser, address)
        look.go("/")
        expect(look.page.locator(".badge.live")).to_have_text("● live")
        look.go("/run/0/curves")
        readout = look.page.locator('figure[data-title="solved"] .readout')
        before = readout.inner_text()
        asked = len(look.asked)
        run.append_metrics(6, {"solved": 0.123, "fresh": 1.0}, {"generated_tokens": 1000})
        expect(readout).to_have_text("last: 12.3 %", timeout=8000)
        assert before != "last: 12.3 %"
        expect(look.page.get_by_role("button", name="fresh")).to_be_visible()
        assert any("from=" in u and "from=0" not in u for u in look.asked[asked:])
        look.close()


def test_with_a_token(browser, runs):
    with served(runs, token="a-token-of-some-length") as address:
        look = Watched(browser, address)
        look.page.goto(f"{address}?token=a-token-of-some-length")
        look.at("/")
        assert "token" not in look.page.url
        assert look.page.locator("td.name a").count() == 5
        look.close()
        other = Watched(browser, address)
        assert other.page.goto(address).status == 401
        other.meant = "401"
        other.close()


def test_a_server_that_went_away_is_told(browser, runs):
    with served(runs) as address:
        look = Watched(browser, address)
        look.go("/")
    look.page.evaluate("location.hash = '#/run/1'")
    expect(look.page.locator("p.error")).to_contain_text("The server does not answer")
    look.meant = "ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET"
    look.close()


def test_what_is_not_there_is_told(look):
    look.meant = "404"
    look.go("/")
    look.page.evaluate("location.hash = '#/run/99'")
    expect(look.page.locator("p.error")).to_contain_text("There is no run 99")
    look.page.evaluate("location.hash = '#/nowhere'")
    expect(look.page.locator("p.error")).to_contain_text("no such view")
