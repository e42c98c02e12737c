"""The evaluation report in a real browser: what a person does with it, and what axe-core says."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr.evaluate.report import Results, Row, Word, report_page

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and its driver are not installed")

NASTY = "<img src=x onerror=document.title='broken'></script><script>document.title='broken'</script>"
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "then", "sleeps"]


def open_browser(dark: bool = False, width: int = 1400) -> Any:
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    if width != 1400:
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": {"width": width, "height": 800}})
    if dark:
        options.add_argument("--blink-settings=preferredColorScheme=0")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    opened = open_browser()
    yield opened
    opened.quit()


def rows_of(count: int, wrong: float, seed: int) -> tuple[Row, ...]:
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        said = random.Random(i).choices(WORDS, k=5 + i % 20)
        heard = [w for word in said for w in ([word] if rng.random() > wrong else rng.choice([[], ["x"], ["y", word]]))]
        words = tuple(Word(w, 0.1 * n, 0.1 * n + 0.1, rng.random()) for n, w in enumerate(heard))
        seen = tuple(rng.choice([0, 1, 50]) for _ in said)
        rows.append(Row(f"u{i}", " ".join(said), " ".join(heard), f"s{i % 12}", 2.0 + i % 9, 20.0 + i % 7, words, seen))
    return tuple(rows)


def cuts_of(folder: Path, ids: list[str]) -> Path:
    """A manifest of utterances, all of the same two seconds."""
    from lhotse import AudioSource, CutSet, MonoCut, Recording, SupervisionSegment

    sound = folder / "sound.wav"
    soundfile.write(sound, 0.3 * np.sin(np.arange(32_000) / 10), 16_000)
    cuts = []
    for key in ids:
        recording = Recording(key, [AudioSource("file", [0], str(sound))], 16_000, 32_000, 2.0)
        cuts.append(MonoCut(key, 0, 2.0, 0, [SupervisionSegment(key, key, 0, 2.0, text="a")], None, recording))
    CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    return folder / "cuts.jsonl.gz"


LOG = tuple({"kind": "epoch", "epoch": n, "loss": 1 / n, "dev_loss": 1.1 / n, "dev_wer": 0.5 / n} for n in range(1, 9))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two systems, one with sound."""
    folder = tmp_path_factory.mktemp("report")
    rows = (*rows_of(130, 0.2, 1), Row(f"{NASTY} id", f"{NASTY} said", NASTY, NASTY, 1.0))
    facts = {"data": str(cuts_of(folder, [row.id for row in rows])), "model": NASTY}
    better = tuple(Row(row.id, row.reference, row.reference, row.speaker, row.duration) for row in rows)
    systems = [Results("one", rows, "words", facts, LOG), Results(f"two {NASTY}", better, "words")]
    path = folder / "report.html"
    path.write_text(report_page(systems, sound=3), encoding="utf-8")
    return path


def texts(browser: Any, selector: str) -> list[str]:
    return [each.text for each in browser.find_elements("css selector", selector)]


def test_what_a_person_does(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    assert texts(browser, "output") == ["131 of 131 utterances, page 1 of 3"]
    assert len(texts(browser, "article")) == 50

    search = browser.find_element("name", "search")
    search.send_keys("u12")
    assert texts(browser, "output") == ["11 of 131 utterances"]  # u12, u120 to u129
    assert all("u12" in heading for heading in texts(browser, "article h3"))
    browser.find_element("name", "all").click()
    assert browser.switch_to.active_element == search
    assert texts(browser, "output") == ["131 of 131 utterances, page 1 of 3"]

    sort = browser.find_element("name", "sort")
    sort.find_element("css selector", "option[value=id]").click()
    ids = [heading.split()[0] for heading in texts(browser, "article h3")]
    assert ids[1:4] == ["u0", "u1", "u2"]  # numbers as numbers
    browser.find_element("name", "next").click()
    assert texts(browser, "output") == ["131 of 131 utterances, page 2 of 3"]
    assert texts(browser, "article h3")[0].split()[0] == "u49"

    group = browser.find_element("css selector", "#where .where")
    count = int(group.text)
    group.click()
    assert 1 < count < 131
    what = group.get_attribute("data-what")
    assert what.startswith("Duration, s: ")
    assert texts(browser, "output") == [f"{count} of 131 utterances ({what})"]
    assert browser.switch_to.active_element.text == "Every utterance"  # where a screen reader goes on
    confused = browser.find_element("css selector", "#confusions .where")
    count = int(confused.text)
    confused.click()
    assert 1 <= int(texts(browser, "output")[0].split()[0]) <= count
    browser.find_element("css selector", "[data-sort]").click()
    assert sort.get_attribute("value") == "difference"
    assert texts(browser, "output") == ["131 of 131 utterances, page 1 of 3"]


def test_what_a_text_holds_is_shown_and_nothing_else(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    browser.find_element("name", "search").send_keys("onerror")
    assert NASTY in texts(browser, "article h3")[0]
    assert browser.title == f"one and two {NASTY}"
    assert not browser.find_elements("css selector", "img[src=x]")


def test_sound_plays_and_words_stand_where_they_are(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    players = browser.find_elements("tag name", "audio")
    assert len(players) == 3
    browser.execute_script("arguments[0].muted = true", players[0])
    browser.find_element("css selector", ".seen").click()  # in its middle
    wait(lambda: browser.execute_script("return arguments[0].currentTime", players[0]) > 0.8)
    assert browser.execute_script("return arguments[0].duration", players[0]) == pytest.approx(2, abs=0.2)
    image = browser.find_element("css selector", ".seen img")
    assert browser.execute_script("return arguments[0].naturalWidth", image) > 50
    word = browser.find_element("css selector", ".timed")
    assert word.get_attribute("style").startswith("left: ")
    assert word.get_attribute("title").endswith("% sure")


def wait(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_nothing_leaves_the_page_and_nothing_complains(browser: Any, page: Path) -> None:
    import json

    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())
    browser.find_element("name", "search").send_keys("fox")
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    assert not [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.mark.parametrize(("dark", "width"), [(False, 1400), (True, 400)])
def test_axe_finds_no_violation(page: Path, dark: bool, width: int) -> None:
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    opened = open_browser(dark, width)
    try:
        opened.get(page.as_uri())
        assert opened.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches") is dark
        # No wider than the window: nothing is to be pushed aside to read on.
        assert opened.execute_script("return [screen.width, innerWidth]")[-1] == width
        assert opened.execute_script("return document.documentElement.scrollWidth") <= width
        opened.execute_script(Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
        found = opened.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
        said = [(v["id"], v["help"], [node["html"][:200] for node in v["nodes"][:3]]) for v in found["violations"]]
        assert not said
    finally:
        opened.quit()


def test_it_answers_at_once_with_20_000_utterances(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.html"
    path.write_text(report_page([Results("one", rows_of(20_000, 0.1, 3), "words")]), encoding="utf-8")
    browser.get(path.as_uri())
    took = browser.execute_script(
        """const search = document.querySelector("[name=search]"), before = performance.now();
        search.value = "sleeps lazy"; search.dispatchEvent(new Event("input"));
        document.body.offsetHeight; return performance.now() - before;"""
    )
    assert "of 20,000 utterances" in texts(browser, "output")[0]
    assert took < 2000
