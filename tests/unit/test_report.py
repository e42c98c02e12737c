from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from asr.cli import app
from asr.errors import InputError
from asr.report import Results, Row, Word, read_results, report_page
from asr.report.analysis import by_utterance, by_word, calibration, confusions, found_by_checking

runner = CliRunner()
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"' <!-- \u202e\u2028 \x07"


def results(*texts: tuple[str, str], name: str = "system", **facts: Any) -> Results:
    rows = tuple(Row(f"u{i}", said, heard) for i, (said, heard) in enumerate(texts))
    return Results(name, rows, "words", facts)


def folder_of(path: Path, rows: list[dict[str, Any]], facts: Mapping[str, Any] | None = None) -> str:
    path.mkdir(parents=True)
    (path / "hypotheses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if facts is not None:
        (path / "scores.json").write_text(json.dumps({"format": 1, **facts}))
    return str(path)


def test_a_folder_of_results(tmp_path: Path) -> None:
    word = {"text": "a", "start": 0.1, "end": 0.3, "confidence": 0.9}
    row = {"id": "u1", "text": "a", "reference": "a b", "speaker": "ann", "duration": 2, "snr": 20.5, "seen": [3, 0]}
    source = folder_of(tmp_path / "exp/run/results/test", [{**row, "words": [word]}], {"headline": "cer"})
    (tmp_path / "exp/run/log.jsonl").write_text('{"kind": "epoch", "epoch": 1}\n{"kind": "ep')
    found = read_results(source)
    assert found.rows == (Row("u1", "a b", "a", "ann", 2.0, 20.5, (Word("a", 0.1, 0.3, 0.9),), (3, 0)),)
    assert (found.name, found.unit, found.log) == ("run, test", "characters", ({"kind": "epoch", "epoch": 1},))


def test_two_files_of_texts(tmp_path: Path) -> None:
    (tmp_path / "ref:erence").write_text("u1 a b\nu2 c\n")
    (tmp_path / "hyp").write_text("u1 a x\n")
    found = read_results(f"{tmp_path}/ref:erence:{tmp_path}/hyp")
    assert found.rows == (Row("u1", "a b", "a x"), Row("u2", "c", ""))
    assert found.notes == ("hyp: 1 references have no hypothesis and count as deletions (first: u2)",)


@pytest.mark.parametrize(
    ("rows", "facts", "message"),
    [
        ([{"id": "u", "text": "a"}], {}, "hypotheses.jsonl, line 1: has no reference"),
        ([{"id": 1, "text": "a", "reference": "b"}], {}, "line 1: has no id"),
        ([{"id": "u", "text": "a", "reference": "b"}] * 2, {}, "the id 'u' stands there twice"),
        ([{"id": "u", "text": "a", "reference": "b"}, ["u"]], {}, "line 2: is not a JSON object"),
        ([{"id": "u", "text": "a", "reference": "b", "words": [1]}], {}, "line 1: has a word without text"),
        (
            [{"id": "u", "text": "a", "reference": "b"}],
            {"format": 2},
            "scores.json: has format 2, this version reads 1",
        ),
        ([], {}, "holds no utterance"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, rows: Any, facts: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        read_results(folder_of(tmp_path / "r", rows, facts))


def test_what_is_no_results(tmp_path: Path) -> None:
    folder_of(tmp_path / "exp/results/test", [{"id": "u", "text": "a", "reference": "b"}])
    with pytest.raises(InputError, match=r"holds no hypotheses.jsonl; name one of its folders: .*/exp/results/test"):
        read_results(str(tmp_path / "exp"))
    with pytest.raises(InputError, match="neither a folder of results nor two text files"):
        read_results(str(tmp_path / "nothing"))


def test_what_is_taken_for_what() -> None:
    found = confusions(results(("a b", "a x"), ("b c", "x c y"), ("c b", "b"), ("a b b", "a x x")).scores.alignments)
    top = found["substitutions"][0]
    assert (top.said, top.heard, top.count, top.utterances) == ("b", "x", 4, (0, 1, 3))
    assert [(c.said, c.heard, c.count) for c in found["deletions"]] == [("c", "", 1)]
    assert [(c.said, c.heard, c.count) for c in found["insertions"]] == [("", "y", 1)]


def test_groups_of_utterances() -> None:
    # ten utterances of i seconds; those of six and more are wrong
    rows = tuple(Row(f"u{i}", "a b", "a b" if i < 6 else "a x", f"s{i % 2}", float(i), None) for i in range(1, 11))
    found = by_utterance(Results("s", rows, "words"))
    assert list(found) == ["Duration, s", "Speaking rate, words a second", "Speaker"]
    durations = found["Duration, s"]
    assert [(g.label, g.count, g.rate, g.utterances) for g in durations] == [
        ("1 to 2", 2, 0.0, (0, 1)),
        ("3 to 4", 2, 0.0, (2, 3)),
        ("5 to 6", 2, 0.25, (4, 5)),
        ("7 to 8", 2, 0.5, (6, 7)),
        ("9 to 10", 2, 0.5, (8, 9)),
    ]
    assert {g.label: (g.count, g.length, g.rate) for g in found["Speaker"]} == {"s0": (5, 10, 0.3), "s1": (5, 10, 0.2)}
    assert found["Speaker"][0].label == "s0"  # the worst one first


def test_groups_of_words() -> None:
    rows = (
        Row("u1", "a b c d e", "x b y d e", seen=(0, 1, 5, 6, 300)),
        Row("u2", "a", "a", seen=(0,)),
        Row("u3", "a b", "a b z", seen=(0, 1)),
    )
    found = by_word(Results("s", rows, "words"))
    places = {g.label: (g.length, g.rate) for g in found["Place in the utterance"]}
    assert places == {"first": (3, 1 / 3), "second": (1, 0), "middle": (1, 1), "last but one": (1, 0), "last": (2, 0)}
    seen = {g.label: (g.length, g.rate) for g in found["Times in the training texts"]}
    assert seen == {
        "never": (3, 1 / 3),
        "once": (2, 0),
        "2 to 5 times": (1, 1),
        "6 to 20 times": (1, 0),
        "more often": (1, 0),
    }
    assert found["Place in the utterance"][1].utterances == (0,)
    assert list(by_word(results(("a b", "a b")))) == ["Place in the utterance"]


def sure(*confidences: float) -> tuple[Word, ...]:
    return tuple(Word("abcdefghij"[i], 0.0, 1.0, c) for i, c in enumerate(confidences))


def test_calibration_by_hand() -> None:
    # right with 0.9, 0.8; wrong with 0.8, 0.2
    rows = (Row("u1", "a b x y", "a b c d", words=sure(0.9, 0.8, 0.8, 0.2)),)
    found = calibration(Results("s", rows, "words"))
    assert found is not None
    assert (found.words, found.right) == (4, 2)
    assert found.bins == ((0.2, 0.0, 1), (0.8, 0.5, 2), (0.9, 1.0, 1))
    assert found.expected_error == pytest.approx((0.2 + 2 * 0.3 + 0.1) / 4)
    assert found.found == ((0.0, 0.0), (0.25, 0.5), (0.75, 1.0), (1.0, 1.0))
    assert found_by_checking(found, 0.25) == 0.5
    assert found_by_checking(found, 0.5) == 0.75
    assert found_by_checking(found, 1.0) == 1.0
    assert calibration(results(("a", "a"))) is None
    silent = calibration(Results("s", (Row("u1", "a", "a", words=(Word("a", 0, 1, 1.0),)),), "words"))
    assert silent is not None
    assert found_by_checking(silent, 0.5) == 0.0  # no error is there to be found


class Page(HTMLParser):
    """Tags and attributes of a page, its text, and what its scripts hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = tag == "script"
        if self._script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[-1] += data
        else:
            self.text += data


def nasty() -> list[Results]:
    rows = tuple(
        Row(f"{NASTY} {i}", f"{NASTY} said {i}", f"{NASTY} heard", NASTY, 1.0 + i, 3.0, (Word(NASTY, 0, 1, 0.5),))
        for i in range(3)
    )
    log = ({"kind": "epoch", "epoch": 1, "loss": 1.0}, {"kind": "epoch", "epoch": 2, "loss": 0.5})
    facts = {"model": NASTY, "data": f"/home/ann/{NASTY}/cuts.jsonl.gz", "command": f"train /home/ann/exp/{NASTY}"}
    return [Results(NASTY, rows, "words", facts, log, (NASTY,)), Results(NASTY, rows, "words", {"language": NASTY})]


def test_nothing_of_a_text_becomes_markup() -> None:
    plain = Page(report_page([results(*[(f"said {i}", "heard") for i in range(3)])]))
    for systems in (nasty(), nasty()[:1]):
        page = Page(report_page(systems, title=NASTY))
        assert len(page.scripts) == len(plain.scripts) == 2
        assert page.scripts[1] == plain.scripts[1]
        assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
        assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "link", "base", "embed")]
        data = json.loads(page.scripts[0])
        assert data["rows"][0][0].startswith("</script><script>")
        shown = page.text + page.scripts[0]
        assert not re.search("[\u202e\x07]", shown)
        assert "/home/ann" not in shown


def test_no_address_is_outside() -> None:
    page = report_page(nasty())
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+[^\s\"'<]*", page.replace("\\u003c", "<")))
    assert addresses <= {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}
    links = [
        value for _, attributes in Page(page).tags for name, value in attributes.items() if name in ("href", "src")
    ]
    assert all(value and value.startswith("#") for value in links)
    policy = next(a["content"] for _, a in Page(page).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy


def test_ids_are_there_once_and_labels_lead_somewhere() -> None:
    tags = Page(report_page(nasty())).tags
    ids = [attributes["id"] for _, attributes in tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        for name in ("href", "aria-labelledby", "xlink:href"):
            if value := attributes.get(name):
                assert value.removeprefix("#") in ids, value


def test_the_page_says_what_is_known() -> None:
    said = [(f"w{i} b c", f"w{i} b x") for i in range(30)]
    one = results(*said, name="one", model="m", command="asr evaluate /tmp/x/exp/m", commit="abc", hardware="a machine")
    page = Page(report_page([one])).text
    assert "33.33" in page
    assert "there are" not in page
    assert "the speakers are not known" in page
    assert "asr evaluate exp/m" in page
    two = Page(report_page([one, results(*[(r, r) for r, _ in said], name="two")])).text
    assert "two is better than one by 33.33 % absolute" in two
    new = results(*[(r, r if i % 2 else h) for i, (r, h) in enumerate(said)], name="new")
    turned = Results("new", new.rows[::-1], "words")  # the same utterances in another order
    assert Page(report_page([one, turned])).text == Page(report_page([one, new])).text
    with pytest.raises(InputError, match="other: is not of the same utterances and references as one"):
        report_page([one, results(("a", "a"), name="other")])


def test_it_stays_small_and_quick_to_make() -> None:
    said = "the quick brown fox jumps over the lazy dog and all the others " * 2
    texts = [(f"{said} {i}", f"{said} {i}".replace("quick", "quiet").replace("lazy", "")) for i in range(2000)]
    assert len(report_page([results(*texts)]).encode()) < 5_000_000


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_a_browser_draws_it(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    systems = [results(*[(f"said {i}", f"heard {i}") for i in range(70)], name="one"), *nasty()[:0]]
    for name, page, number in (("plain", report_page(systems), 70), ("nasty", report_page(nasty()), 3)):
        path.write_text(page, encoding="utf-8")
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
        out = subprocess.run(
            [*command, f"--user-data-dir={tmp_path}/{name}", "--dump-dom", path.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        drawn = Page(out.stdout)
        assert f"{number} of {number} utterances" in drawn.text
        assert sum(tag == "article" for tag, _ in drawn.tags) == min(number, 50)
        assert "CONSOLE" not in out.stderr, out.stderr


def test_the_command(tmp_path: Path) -> None:
    row = {"id": "u1", "text": "a x", "reference": "a b"}
    source = folder_of(tmp_path / "results/test", [row], {"headline": "wer"})
    result = runner.invoke(app, ["report", source, "--out", str(tmp_path / "report.html"), "--title", "Mine"])
    assert result.exit_code == 0, result.stderr
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Mine" in page.text
    assert "50.00" in page.text
    result = runner.invoke(app, ["report", str(tmp_path / "nothing"), "--out", str(tmp_path / "report.html")])
    assert (result.exit_code, "neither a folder of results" in result.stderr) == (2, True)
