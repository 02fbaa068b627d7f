"""Figures that are taken away: as they are shown, by file, clipboard and printer."""

import re
import zlib
from io import BytesIO
from xml.etree import ElementTree

import pytest
from matplotlib.image import imread

PLANE, MEANS = "scenario-split-plane", "ranking-split-means"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="session")
def report(store, written):
    return written([run for run in store if run.scenario == "split"])


def button(page, name, kind):
    return page.locator(f"[data-picture={name}][data-kind={kind}]")


def saved(page, name, kind):
    with page.expect_download() as download:
        button(page, name, kind).click()
    assert download.value.suggested_filename == f"{name}.{kind.lower()}"
    return download.value.path().read_bytes()


def texts(root):
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def letters(pdf):
    """The letters that a file has as text: its fonts say what each of their glyphs means."""
    streams = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    plain = b"".join(zlib.decompressobj().decompress(stream) for stream in streams)
    assert re.search(rb"> Tj|\] TJ", plain)
    found = set()
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", plain, re.DOTALL):
        found |= {chr(int(end, 16)) for end in re.findall(rb"> <(\w{4})>", block)}
    for block in re.findall(rb"beginbfrange(.*?)endbfrange", plain, re.DOTALL):
        for first, last, start in re.findall(rb"<(\w+)> <(\w+)> <(\w{4})>", block):
            count = int(last, 16) - int(first, 16) + 1
            found |= {chr(int(start, 16) + place) for place in range(count)}
    return found


@pytest.mark.thorough
def test_the_plane_is_saved_as_it_is_shown(visit, report):
    page = visit(report, color_scheme="dark", viewport={"width": 1000, "height": 800})
    shown = page.locator("[data-plane]:visible")
    page.locator(".keys:visible button", has_text="wpl").click()
    root = ElementTree.fromstring(saved(page, PLANE, "SVG"))
    box = shown.bounding_box()
    assert float(root.get("width")) == pytest.approx(box["width"], abs=1)
    assert float(root.get("height")) == pytest.approx(box["height"], abs=4)
    assert {"finetune", "wpl", "ewc", "joint", "1e4", "learning accuracy of the new models, %"} <= {
        *texts(root)
    }
    assert len(texts(root)) == shown.locator("svg text").count() + 6  # a legend's entries
    # All that the page's styles give stands in it: no class, no data, ink that is dark on white.
    assert not [e for e in root.iter() if e.get("class") or e.get("data-strategies")]
    opacity = [re.search(r"opacity: ([\d.]+)", e.get("style") or "") for e in root.iter(f"{SVG}g")]
    assert sorted(float(o[1]) for o in opacity if o)[0] == 0.18
    inks = {re.search(r"fill: (.*?);", e.get("style"))[1] for e in root.iter(f"{SVG}text")}
    assert inks == {"rgb(92, 91, 87)", "rgb(31, 31, 29)"}
    keys = {t.text: t for t in root.iter(f"{SVG}text") if t.text in {"wpl", "ewc"}}
    assert "opacity: 1" in keys["wpl"].get("style")
    assert "opacity: 0.18" in keys["ewc"].get("style")
    place = page.locator(".keys:visible button", has_text="ewc").locator("svg").bounding_box()
    assert float(keys["ewc"].get("x")) > place["x"] + place["width"] - box["x"]
    pixels = imread(BytesIO(saved(page, PLANE, "PNG")))
    assert pixels.shape[1] == pytest.approx(float(root.get("width")) * 200 / 72, abs=1)
    assert pixels[0, 0, :3].tolist() == [1, 1, 1] and pixels.std() > 0.02


@pytest.mark.thorough
def test_a_figure_is_saved_with_what_faded_and_without_what_a_page_needs(visit, report):
    page = visit(report)
    page.locator("#ranking th button", has_text="wpl").first.click()
    root = ElementTree.fromstring(saved(page, MEANS, "SVG"))
    assert root.get("role") == "img" and root.get("aria-label").startswith("Means with")
    page_only = {"class", "data-mark", "data-strategies", "tabindex", "role", "aria-label"}
    assert not [e for e in list(root.iter())[1:] if page_only & set(e.keys())]
    pale = [e for e in root.iter(f"{SVG}g") if "opacity: 0.18" in (e.get("style") or "")]
    own = [t for e in pale for t in texts(e)]
    assert {"freeze", "finetune", "joint", "independent"} < set(own) and not [
        t for t in own if "wpl" in t
    ]
    assert [t for t in texts(root) if "wpl" in t]


@pytest.mark.thorough
def test_a_figure_alone_is_a_page_of_vectors(visit, report):
    page = visit(report)
    page.evaluate("window.print = () => { window.title = document.title; }")
    whole = len(page.locator("body > *").all())
    for name, unit, words in ((MEANS, 1, "forgetting reduction"), (PLANE, 0.75, "finetune")):
        svg = page.locator(f"#figure-{name} svg" if name == MEANS else f"[data-plane={name}]").first
        size = svg.evaluate(
            "e => e.viewBox ? [e.viewBox.baseVal.width, e.viewBox.baseVal.height]"
            " : [e.offsetWidth, e.offsetHeight]"
        )
        button(page, name, "PDF").click()
        assert page.evaluate("window.title") == name
        assert page.locator("html.alone > body > .sheet").count() == 1
        assert not page.locator(".sheet").is_visible()  # the screen stays as it is
        content = page.pdf(prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b", content)) == 1
        (found,) = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", content)
        assert [float(end) for end in found] == pytest.approx([unit * side for side in size], abs=3)
        assert b"/Subtype /Image" not in content and b"/Font" in content
        assert set(words.replace(" ", "")) <= letters(content)
    # Afterwards the page is as before.
    assert page.locator("html.alone, .sheet").count() == 0
    assert len(page.locator("body > *").all()) == whole
    assert page.title() == "Palimpsest report: paper"


@pytest.mark.thorough
def test_a_picture_goes_to_the_clipboard(browser, report):
    for allowed in (True, False):
        context = browser.new_context()
        if allowed:
            context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.goto(report.as_uri())
        if not allowed:
            page.evaluate("() => { navigator.clipboard.write = () => Promise.reject(); }")
        copy = button(page, MEANS, "Copy")
        assert copy.get_attribute("aria-live") == "polite"
        copy.click()
        page.get_by_text("copied" if allowed else "not allowed here").wait_for()
        if allowed:
            size = page.evaluate(
                """async () => {
                  const [item] = await navigator.clipboard.read();
                  const image = await createImageBitmap(await item.getType("image/png"));
                  return [image.width, image.height];
                }"""
            )
            wide = page.locator(f"#figure-{MEANS} svg").evaluate("e => e.viewBox.baseVal.width")
            assert size[0] == pytest.approx(wide * 200 / 72, abs=1)
        context.close()
