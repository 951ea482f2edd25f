"""The page of a run: it asks for nothing, shows names letter by letter, and works in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest

from graphkit.viz.run_page import PageCurves, PageItems, RunPage, run_page

pytest.importorskip("plotly")

HOSTILE = ['</script><script>document.body.dataset.harm="yes"</script>', "<b>&amp;", "%plotly% $x$", "plain"]
STEPS = """<script>
const box = (n) => document.querySelector(`#classes input[data-number="${n}"]`);
const seen = {first: document.getElementById("count").textContent};
box(3).click();
seen.filtered = document.getElementById("count").textContent;
document.getElementById("right").value = "wrong";
document.getElementById("right").dispatchEvent(new Event("change"));
seen.wrong = document.getElementById("count").textContent;
document.getElementById("scatter").emit("plotly_click", {points: [{customdata: 1}]});
seen.panel = document.getElementById("panel").innerText;
seen.headings = [...document.querySelectorAll("#classes label span:last-child")].map((each) => each.textContent);
seen.ready = document.body.dataset.ready;
seen.harm = document.body.dataset.harm || "none";
seen.plots = document.querySelectorAll(".js-plotly-plot").length;
const outline = (each) => each.getBoundingClientRect();
const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
seen.titles = 0;
seen.hidden = [];
for (const plot of document.querySelectorAll(".js-plotly-plot")) {
  const names = [...plot.querySelectorAll(".xtick text, .ytick text, .y2tick text")];
  for (const title of plot.querySelectorAll(".xtitle, .ytitle, .y2title")) {
    seen.titles += 1;
    for (const name of names) {
      if (meet(outline(title), outline(name))) seen.hidden.push([title.textContent, name.textContent]);
    }
  }
}
document.body.dataset.said = JSON.stringify(seen);
</script></body>"""


def page(**changes):
    """Return a page of 40 items of four classes on a ring, every fourth of them wrong."""
    number = np.arange(40)
    given = {
        "ids": [f"item {place} {HOSTILE[1]}" for place in number],
        "points": {"PCA": np.stack([np.cos(number), np.sin(number)], axis=1)},
        "axes": {"PCA": ("first", "second")},
        "classes": HOSTILE,
        "true": number % 4,
        "predicted": np.where(number % 8 == 0, 1, number % 4),
        "confidence": np.linspace(0.3, 1.0, 40),
        "parts": ("train", "validation", "test"),
        "part": number % 3,
        "edges": np.stack([number, (number + 1) % 40]),
    }
    curves = [
        PageCurves(name="seed 0", train_loss=[2.0, 1.0], validation_loss=[2.0, 1.5], figure=[0.5, 0.7], selected=2)
    ]
    return RunPage(
        title="a & b <i>", headline="<i>", items=PageItems(**{**given, **changes}), metric="accuracy", curves=curves,
        record=[("command", HOSTILE[0])], confusion=np.eye(4, dtype=int) * 9 + 1, confusion_of="test items",
    )  # fmt: skip


def content(written):
    """Return what the page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', written)[1])


def test_names_of_the_data_end_no_tag_and_are_read_back():
    from plotly.offline import get_plotlyjs

    written = run_page(page()).replace(get_plotlyjs(), "")
    assert written.count("<script") == written.count("</script>") == 3
    assert "<i>" not in written
    assert "<title>a &amp; b &lt;i&gt;</title>" in written
    told = content(written)
    assert told["classes"] == HOSTILE
    assert told["record"] == [["command", HOSTILE[0]]]


def test_the_page_asks_for_nothing():
    from plotly.offline import get_plotlyjs

    written = run_page(page()).replace(get_plotlyjs(), "")
    assert not re.search(r"\b(src|href)\s*=|\b(url|fetch|import|XMLHttpRequest)\s*\(|https?:", written)
    assert "default-src 'none'" in written


def test_neighbours_are_those_of_a_loop_over_the_edges():
    edges = np.array([[0, 1, 1, 3, 3], [1, 0, 2, 3, 0]])
    told = content(run_page(page(edges=edges)))
    found = [told["indices"][a:b] for a, b in zip(told["indptr"], told["indptr"][1:], strict=False)]
    expected = [sorted({b for a, b in [*edges.T.tolist(), *edges[::-1].T.tolist()] if a == n != b}) for n in range(40)]
    assert found == expected


def test_numbers_are_shown_without_classes():
    told = content(run_page(page(classes=(), true=np.linspace(0, 1, 40), predicted=np.full(40, np.nan))))
    assert told["values"]["true"][-1] == 1.0
    assert told["values"]["predicted"] == [None] * 40
    assert told["items"]["true"] == [-1] * 40


def test_wrong_calls_are_refused_in_words(monkeypatch):
    import importlib.util

    with pytest.raises(ValueError, match=r"^`items` must hold as many of everything"):
        page(ids=["a"])
    with pytest.raises(TypeError, match=r"^`page` must be a RunPage"):
        run_page("page")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^`view` needs plotly: pip install 'graphkit\[view\]'\.$"):
        run_page(page())


def read_in_browser(tmp_path, made):
    """Return what the steps above see of a page in a browser; the test is skipped where none is installed."""
    known = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next(filter(None, map(shutil.which, known)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(known)} is installed")
    (tmp_path / "page.html").write_text(run_page(made).replace("</body>", STEPS), encoding="utf-8")
    switches = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-unsafe-swiftshader",
        f"--user-data-dir={tmp_path}/own",
    ]
    command = [browser, *switches, "--dump-dom", (tmp_path / "page.html").as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return json.loads(html.unescape(re.search(r'data-said="([^"]*)"', seen)[1]))


@pytest.mark.parametrize("name", ["a", "Probabilistic methods", "W" * 60])
def test_no_title_of_an_axis_lies_on_a_name_in_a_browser(tmp_path, name):
    classes = [f"{name} {number}" for number in range(4)]
    said = read_in_browser(tmp_path, page(classes=classes))
    assert (said["hidden"], said["titles"]) == ([], 7)


def test_every_axis_of_the_page_has_room_for_its_title():
    script = (files("graphkit.viz") / "page" / "page.js").read_text(encoding="utf-8")
    assert script.count("title: { text") == 1, "axes are made by one function, which keeps title and names apart"


def test_a_browser_filters_and_shows_the_neighbours_of_an_item_that_is_clicked(tmp_path):
    said = read_in_browser(tmp_path, page())
    assert (said["ready"], said["harm"], said["plots"]) == ("yes", "none", 3)
    assert said["headings"] == HOSTILE
    assert said["first"] == "40 of 40 items"
    assert said["filtered"] == "30 of 40 items"
    assert said["wrong"] == "5 of 40 items"
    assert said["panel"].startswith("item 1 <b>&amp;")
    assert "2 neighbours" in said["panel"]
    assert "item 0 <b>&amp;" in said["panel"]
    assert "item 2 <b>&amp;" in said["panel"]


def test_a_browser_shows_the_items_nearest_to_the_one_that_is_clicked(tmp_path):
    nearest = (np.arange(40)[:, None] + np.array([1, 4, 2])) % 40
    nearest[1, 2] = -1
    distances = np.broadcast_to(np.array([0.125, 0.25, np.inf]), (40, 3))
    given = {"nearest": nearest, "distances": distances, "confidence": None, "predicted_word": "class of the nearest"}
    said = read_in_browser(tmp_path, page(**given))
    assert (said["ready"], said["harm"], said["plots"]) == ("yes", "none", 3)
    assert "2 nearest items, 1 of its class" in said["panel"]
    assert "0.1250" in said["panel"]
    assert "class of the nearest" in said["panel"]
    assert "confidence" not in said["panel"]
