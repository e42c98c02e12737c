from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.evaluate.report import Results, Row, Word, read_results, report_page
from asr.evaluate.report.analysis import by_utterance, by_word, calibration, confusions, found_by_checking
from asr.utils.errors import InputError

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
    facts = {"headline": "cer", "model": "run"}
    source = folder_of(tmp_path / "exp/run/results/test", [{**row, "words": [word]}], facts)
    log = (
        '{"kind": "epoch", "epoch": 1, "loss": NaN, "dev_loss": 1'
        + "0" * 400
        + "}\n"
        + "[" * 100_000
        + '\n{"kind": "ep'
    )
    (tmp_path / "exp/run/log.jsonl").write_bytes(log.encode() + b"\xff\n")
    found = read_results(source)
    assert found.rows == (Row("u1", "a b", "a", "ann", 2.0, 20.5, (Word("a", 0.1, 0.3, 0.9),), (3, 0)),)
    assert (found.name, found.unit, found.log) == ("run, test", "characters", ({"kind": "epoch", "epoch": 1},))


@pytest.mark.slow
def test_two_files_of_texts(tmp_path: Path) -> None:
    (tmp_path / "ref:erence").write_text("u1 a b\nu2 c\n")
    (tmp_path / "hyp").write_text("u1 a x\n")
    found = read_results(f"{tmp_path}/ref:erence:{tmp_path}/hyp")
    assert found.rows == (Row("u1", "a b", "a x"), Row("u2", "c", ""))
    assert found.notes == ("hyp: 1 references have no hypothesis and count as deletions (first: u2)",)
    made = Page(report_page([found])).text
    assert all(what in made for what in ("ref:erence", "command", "date"))
    (tmp_path / "ref.jsonl").write_text('{"id": "u1", "text": "a b", "speaker": "ann"}\n{"id": "u2", "text": "c"}\n')
    rows = '{"id": "u1", "text": "a x", "duration": 2.0, "words": [{"text": "a", "confidence": 0.5}]}\n'
    (tmp_path / "hyp.jsonl").write_text(rows)
    found = read_results(f"{tmp_path}/ref.jsonl:{tmp_path}/hyp.jsonl")
    assert found.rows == (Row("u1", "a b", "a x", "ann", 2.0, None, (Word("a", None, None, 0.5),)), Row("u2", "c", ""))
    (tmp_path / "hyp").write_text("")
    assert [row.hypothesis for row in read_results(f"{tmp_path}/ref.jsonl:{tmp_path}/hyp").rows] == ["", ""]


def test_files_of_other_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "talk 10:30.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello big\n")
    (tmp_path / "talk.csv").write_text("id,text,speaker\ntalk-1,hello,Jose\u0301\n")
    found = read_results(f"{tmp_path}/talk.csv:{tmp_path}/talk 10:30.srt")
    assert found.rows == (Row("talk-1", "hello", "hello big", "Jos\u00e9"),)
    assert len(found.notes) == 3
    with pytest.raises(InputError, match=re.escape("'talk.csv'")):
        read_results(f"{tmp_path}/talk.cvs:{tmp_path}/talk 10:30.srt")
    monkeypatch.chdir(tmp_path)
    for name in ("a", "a:b", "b:c", "c"):
        (tmp_path / name).write_text("u1 a\n")
    with pytest.raises(InputError, match="a:b"):
        read_results("a:b:c")
    rows = {"id": "u1", "text": "a x", "reference": "a b", "speaker": "ann", "duration": 2.0}
    (tmp_path / "hypotheses.jsonl").write_text(json.dumps(rows) + "\n")
    both = read_results(f"{tmp_path}/hypotheses.jsonl:{tmp_path}/hypotheses.jsonl")
    assert both.rows == (Row("u1", "a b", "a x", "ann", 2.0),)


def test_utterances_that_are_not_counted(tmp_path: Path) -> None:
    rows = [{"id": f"u{i}", "text": "AH", "reference": "AH K"} for i in range(3)]
    found = read_results(folder_of(tmp_path / "r", [{**rows[0], "counted": False}, *rows[1:]], {"headline": "per"}))
    assert [row.id for row in found.rows] == ["u1", "u2"]
    assert found.notes == ("1 of 3 utterances are left out: not all of their words have a pronunciation",)
    assert found.notes[0] in Page(report_page([found])).text


@pytest.mark.parametrize(
    ("rows", "facts", "message"),
    [
        ([{"id": "u", "text": "a"}], {}, wording("hypotheses-jsonl-line-1-has")),
        ([{"id": 1, "text": "a", "reference": "b"}], {}, wording("line-1-has-no-id")),
        ([{"id": "u", "text": "a", "reference": "b"}] * 2, {}, wording("the-id-u-stands-there")),
        ([{"id": "u", "text": "a", "reference": "b"}, ["u"]], {}, wording("line-2-is-not-a")),
        ([{"id": "u", "text": "a", "reference": "b", "words": [1]}], {}, wording("line-1-has-a-word")),
        (
            [{"id": "u", "text": "a", "reference": "b"}],
            {"format": 2},
            wording("scores-json-has-format-2"),
        ),
        ([{"id": "u", "text": "a", "reference": "b"}], {"format": True}, wording("has-format-true")),
        ([{"id": "u", "text": "a", "reference": "b"}], {"format": "1"}, wording("has-format-1")),
        ([], {}, wording("holds-no-utterance")),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, rows: Any, facts: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        read_results(folder_of(tmp_path / "r", rows, facts))


def test_what_is_no_results(tmp_path: Path) -> None:
    folder_of(tmp_path / "exp/results/test", [{"id": "u", "text": "a", "reference": "b"}])
    with pytest.raises(InputError, match=wording("holds-no-hypotheses-jsonl-name")):
        read_results(str(tmp_path / "exp"))
    with pytest.raises(InputError, match=wording("neither-a-folder-of-results")):
        read_results(str(tmp_path / "nothing"))


HUGE = 10**400


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, HUGE, True, "1", [[]], None, {"a": 1}])
def test_values_that_mean_nothing_are_not_known(tmp_path: Path, value: Any) -> None:
    word = {"text": "a", "start": value, "end": value, "confidence": value}
    row = {"id": "u1", "text": "a", "reference": "b", "duration": value, "snr": value, "words": [word], "seen": value}
    names = ("headline", "model", "data", "command", "decoding", "hardware", "versions", "language", "audio_seconds")
    found = read_results(folder_of(tmp_path / "r", [row], dict.fromkeys(names, value)))
    assert found.rows == (Row("u1", "b", "a", words=(Word("a", None, None, None),)),)
    page = Page(report_page([found]))
    json.loads(page.scripts[0], parse_constant=lambda name: pytest.fail(name))  # as a browser reads it


@pytest.mark.parametrize("sure", [-0.5, 1.5])
def test_confidences_are_from_0_to_1(tmp_path: Path, sure: float) -> None:
    row = {"id": "u1", "text": "a", "reference": "b", "words": [{"text": "a", "confidence": sure}]}
    assert read_results(folder_of(tmp_path / "r", [row])).rows[0].words[0].confidence is None


def test_halves_of_characters(tmp_path: Path) -> None:
    row = {"id": "u\ud800", "text": "a\udc00", "reference": "b", "speaker": "\udfff", "words": [{"text": "\ud800"}]}
    source = folder_of(tmp_path / "r", [row])
    done = runner.invoke(app, ["report", source, "--out", str(tmp_path / "r.html"), "--title", "t\udcff"])
    assert done.exit_code == 0, done.stderr
    assert "u\ufffd" in (tmp_path / "r.html").read_text(encoding="utf-8")


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
    loud = tuple(Row(f"u{i}", "a", "a", duration=1000 + i / 10) for i in range(10))
    labels = [g.label for g in by_utterance(Results("s", loud, "words"))["Duration, s"]]
    assert labels[0] == "1000 to 1000.1"
    assert len(set(labels)) == 5


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
    spoilt = (*rows, Row("u4", "a b", "a b", seen=(0,)))  # of another length: it alone is not counted
    again = {g.label: (g.length, g.rate) for g in by_word(Results("s", spoilt, "words"))["Times in the training texts"]}
    assert again == seen
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


@pytest.mark.slow
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
    with pytest.raises(InputError, match=wording("other-is-not-of-the")):
        report_page([one, results(("a", "a"), name="other")])
    other = results(*[(r.upper(), r) for r, _ in said], name="other")
    with pytest.raises(InputError, match=wording("as-one-u0-w0-b")):
        report_page([one, other])
    assert "Measured on 30 utterances, 90 words." in page


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        (
            {"command": "asr evaluate m '--hotwords=/srv/my dir/hot.txt' x=/home/ann/c y"},
            "'--hotwords=my dir/hot.txt' x=c y",
        ),
        ({"command": "asr evaluate /home/ann/exp/m 'unbalanced"}, "asr evaluate exp/m"),
        ({"data": "/home/ann/My Data/cuts.jsonl.gz"}, "My Data/cuts.jsonl.gz"),
        ({"data": "file:///Users/ann/cuts.jsonl.gz"}, "cuts.jsonl.gz"),
        ({"data": "C:\\Users\\ann\\data\\cuts.jsonl.gz"}, "data/cuts.jsonl.gz"),
        ({"decoding": {"lm": "/home/ann/lm dir/x.arpa", "files": ["/home/ann/q"]}}, "lm lm dir/x.arpa, files ['q']"),
        ({"data": "data/cuts.jsonl.gz"}, "data/cuts.jsonl.gz"),
    ],
)
def test_paths_of_the_machine_are_cut(known: dict[str, Any], shown: str) -> None:
    page = report_page([results(("a", "b"), **known)])
    assert shown in Page(page).text
    assert "ann" not in page


def test_directions_and_texts_without_spaces() -> None:
    page = Page(report_page([results(("\u05e9\u05dc\u05d5\u05dd \u05dc\u05db\u05dc", "\u05e9\u05dc\u05d5\u05dd"))]))
    assert {a["dir"] for _, a in page.tags if "dir" in a} == {"rtl"}
    assert json.loads(page.scripts[0])["direction"] == "rtl"
    han = Page(report_page([Results("s", (Row("u1", "\u4eca\u5929", "\u4eca"),), "characters")]))
    assert json.loads(han.scripts[0])["join"] == ""
    assert {a["dir"] for _, a in han.tags if "dir" in a} == {"ltr"}


def test_without_reference_there_is_no_rate() -> None:
    page = Page(report_page([results(("", "a"), ("", ""), name="one"), results(("", "b"), ("", "c"), name="two")])).text
    assert "The references are empty" in page
    assert not re.search(r"\b(inf|nan)\b", page)


@pytest.mark.slow
def test_it_stays_small_and_quick_to_make() -> None:
    said = "the quick brown fox jumps over the lazy dog and all the others " * 2
    texts = [(f"{said} {i}", f"{said} {i}".replace("quick", "quiet").replace("lazy", "")) for i in range(2000)]
    assert len(report_page([results(*texts)]).encode()) < 5_000_000


@pytest.mark.slow
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
    assert (result.exit_code, wording("neither-a-folder-of-results-2") in result.stderr) == (2, True)
    before = Path(source, "hypotheses.jsonl").read_bytes()
    result = runner.invoke(app, ["report", source, "--out", f"{source}/hypotheses.jsonl"])
    assert (result.exit_code, wording("is-read-and-would-be") in result.stderr) == (2, True)
    assert Path(source, "hypotheses.jsonl").read_bytes() == before
