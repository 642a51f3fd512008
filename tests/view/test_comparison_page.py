"""The page of a study, as `sharpen compare` left it in the documentation, in a browser: one file, no script."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "docs" / "comparison"
PICTURES = os.environ.get("SHARPEN_PICTURES", "")


@pytest.mark.parametrize("width", [1100, 380])
def test_the_page_of_a_study(browser, width):
    told = json.loads((HERE / "results.json").read_bytes())
    names = [r["name"] for r in told["study"]["recipes"]]
    page = browser.new_context(viewport={"width": width, "height": 900}, offline=True).new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("request", lambda r: wrong.append(r.url) if r.url != (HERE / "report.html").as_uri() else None)
    page.goto((HERE / "report.html").as_uri())
    assert page.locator("script").count() == 0
    figures = page.locator("section figure.wide")
    assert figures.count() == len(told["tasks"]) == 2
    for figure, of in zip(figures.all(), told["tasks"].values(), strict=True):
        assert figure.locator("polyline.mean").count() == figure.locator("polygon.band").count() == len(names) == 6
        best = max(of["recipes"].items(), key=lambda x: x[1]["accuracy"][1])
        low, mean, high = (100 * x for x in best[1]["accuracy"])
        row = page.locator("tr", has_text=f"{mean:.1f} ({low:.1f} to {high:.1f})").first
        assert row.locator("td, th").first.inner_text() == best[0]
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    if PICTURES and width > 400:
        page.screenshot(path=str(Path(PICTURES) / "study.png"))
    assert wrong == []
    page.context.close()
