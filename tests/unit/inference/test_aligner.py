"""When words are said: letters that are tones, whose times are known; and the parts that do it."""

from __future__ import annotations

import itertools
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pympi
import pytest
import soundfile
import torch
from helpers import spelled, spelled_texts, speller
from typer.testing import CliRunner, Result
from wording import wording

from asr.cli import app
from asr.data.elan import read_eaf
from asr.data.textgrid import read_textgrid
from asr.data.transcript import Segment, Word
from asr.inference import aligner as alignment
from asr.inference.aligner import _contradicted, align, by_lines, by_pauses, doubt, hear, runs_otherwise
from asr.inference.anchors import _longest_ascending, find_anchors
from asr.inference.word_edges import edges_by_energy
from asr.models.folder import save_model
from asr.utils.errors import InputError

LETTER = 0.12  # seconds from one to the next, behind 0.05


def times(text: str) -> list[tuple[float, float]]:
    """When the words of a text that is `spelled` are said: from the first letter's tone to the last one's end."""
    found, at = [], 0
    for word in text.split(" "):
        found.append((0.05 + LETTER * at, 0.05 + LETTER * (at + len(word) - 1) + 0.08))
        at += len(word) + 1
    return found


def right(words: list[Word], text: str) -> float:
    """The share of edges that are where they should; a space is a tone, too: where a word ends before it is open."""
    assert [word.text for word in words] == text.split()
    assert all(a.end <= b.start + 1e-9 for a, b in itertools.pairwise(words))
    edges = np.array([(word.start, word.end) for word in words])
    return float(np.mean(np.abs(edges - np.array(times(text))) < 0.17))


def test_words_are_where_they_are_said() -> None:
    found, sure, unsure = [], [], []
    for seed in range(10):
        text = " ".join(spelled_texts(2, seed))
        words = align(speller(), [spelled(text, seed)], text)
        found.append(right(words, text))
        sure.append(np.mean([word.confidence for word in words]))
        wrong = align(speller(), [spelled(text, seed)], " ".join(["ttt ttt"] * 3))
        unsure.append(np.mean([word.confidence for word in wrong]))
    assert np.mean(found) > 0.9
    assert min(sure) > max(unsure)


def test_a_long_recording_in_blocks_is_aligned_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(spelled_texts(60, 7))  # 100 s
    samples = spelled(text, 7)
    blocks = np.array_split(samples, 41)
    whole = align(speller(), blocks, text)
    assert right(whole, text) > 0.9
    monkeypatch.setattr(alignment, "_MOST_CELLS", 1_000_000)
    monkeypatch.setattr(alignment, "_PART", 8.0)
    model = speller()
    log_probs, _ = hear(model, blocks)
    tokens, _ = alignment.word_tokens(model, text.split())
    parts = list(alignment._parts(model, log_probs, tokens))
    assert len(parts) >= 5
    assert [part[0] for part in parts[1:]] == [part[1] for part in parts[:-1]]  # nothing is left out
    assert [part[2] for part in parts[1:]] == [part[3] for part in parts[:-1]]
    assert (parts[0][0], parts[0][2], parts[-1][1], parts[-1][3]) == (0, 0, len(tokens), len(log_probs))
    found = align(model, blocks, text)
    apart = [abs(a.start - b.start) for a, b in zip(found, whole, strict=True)]
    assert np.mean(np.array(apart) < 0.03) > 0.95


def test_blocks_are_heard_as_the_whole() -> None:
    samples = spelled(" ".join(spelled_texts(45, 3)), 3)  # 75 s: four windows
    model = speller()
    log_probs, levels = hear(model, np.array_split(samples, 200))
    recognizer = model.recognizer
    with torch.no_grad():
        features = recognizer.features(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
        whole = recognizer.log_probs(*features)[0][0].numpy()
    assert log_probs.shape == whole.shape
    assert np.abs(log_probs - whole).max() < 1e-3  # each window begins at a frame, and the network looks no further
    assert len(levels) == -(-len(samples) // 80)
    nothing, _ = hear(model, [])
    assert np.isfinite(nothing).all()


def test_what_does_not_fit_is_not_believed() -> None:
    words = align(speller(), [spelled("cat", 1)], "cat " * 40)
    assert len(words) == 40
    assert {word.confidence for word in words} == {0.0}
    assert words[-1].end <= 0.6
    with pytest.raises(InputError, match=wording("text-txt-has-no-word")):
        align(speller(), [spelled("cat", 1)], "12 -", where="text.txt")
    words = align(speller(), [spelled("cat", 1)], "- cat 7")  # what has no tokens has no duration
    assert [word.text for word in words] == ["-", "cat", "7"]
    assert words[2].start == words[2].end == words[1].end
    assert words[0].start == words[0].end == words[1].start
    assert words[0].confidence == words[1].confidence


def test_what_has_no_tokens_stays_in_its_line() -> None:
    text = "cat 7 act\n- oak tack -\n8\n9 cot"
    words = align(speller(), [spelled("cat act oak tack cot", 2)], text)
    lines = by_lines(words, text.splitlines())
    assert [line.text for line in lines] == text.splitlines()
    for line, first, last in zip(lines, (0, 4, 7, 9), (2, 5, 7, 9), strict=True):
        assert line.start == words[first].start if first != 7 else line.start == line.end
        assert line.end == words[last].end
        assert line.start >= 0.05
    assert not doubt(lines[0])
    assert doubt(Segment(0, 5, "x", (Word("x", 0, 5, 1.0),)))  # nobody says a word for so long


@pytest.mark.parametrize("seed", range(20))
def test_the_longest_chain(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = sorted(zip(rng.permutation(9).tolist(), rng.permutation(9).tolist(), strict=True))
    chain = _longest_ascending(pairs)
    assert all(a < b and c < d for (a, c), (b, d) in itertools.pairwise(chain))
    assert set(chain) <= set(pairs)
    longest = max(
        sum(mask)
        for mask in itertools.product((0, 1), repeat=9)
        if all(x < y for x, y in itertools.pairwise(p[1] for p, m in zip(pairs, mask, strict=True) if m))
    )
    assert len(chain) == longest


def test_anchors_are_places_that_belong_together() -> None:
    rng = np.random.default_rng(0)
    text = rng.integers(1, 30, 2000).tolist()
    wrong = rng.random(2000) < 0.1
    heard = [
        (token if not bad else int(rng.integers(1, 30)), 3 * n)
        for n, (token, bad) in enumerate(zip(text, wrong, strict=True))
    ]
    heard = heard[:700] + heard[900:]  # 200 are missing
    found = find_anchors(heard, text)
    assert len(found) > 200
    assert all(frame == 3 * place for place, frame in found)
    assert find_anchors([], text) == []
    assert find_anchors([(1, n) for n in range(100)], [1] * 100) == []  # none stands there once


def test_edges_are_where_sound_begins_and_ends() -> None:
    levels = np.full(300, -60, np.float32)
    for start, end in ((50, 90), (120, 180), (180, 240)):
        levels[start:end] = -20
    levels[180] = -30  # the quietest between the second and the third
    spans = [(0.55, 0.7), (1.3, 1.6), (2.0, 2.1)]
    found = [tuple(round(time, 2) for time in span) for span in edges_by_energy(spans, levels)]
    assert found == [(0.5, 0.9), (1.2, 1.8), (1.8, 2.4)]
    # Spikes in the silence before and behind a word.
    early = [tuple(round(time, 2) for time in span) for span in edges_by_energy([(0.1, 0.7), (1.3, 2.9)], levels)]
    assert early == [(0.5, 0.9), (1.2, 2.4)]
    # Something else is said between two words: neither has it.
    levels[100:110] = -20
    (_, end), (start, _) = edges_by_energy(spans[:2], levels)
    assert (round(end, 2), round(start, 2)) == (0.9, 1.2)
    assert edges_by_energy([], levels) == []
    assert edges_by_energy([(0.0, 0.1)], np.zeros(0, np.float32)) == [(0.0, 0.1)]


def test_segments() -> None:
    words = [Word(f"w{n}", n + (5 if n > 6 else 0), n + 0.8 + (5 if n > 6 else 0), 0.5) for n in range(10)]
    lines = by_lines(words, ["w0 w1 w2", "", "w3", " ".join(f"w{n}" for n in range(4, 10))])
    assert [(s.text, s.start, s.end) for s in lines][:2] == [("w0 w1 w2", 0, 2.8), ("w3", 3, 3.8)]
    assert lines[2].confidence == 0.5
    cut = by_pauses(words, 4.0)
    assert [word for segment in cut for word in segment.words] == words
    assert all(segment.end - segment.start <= 4.0 for segment in cut)
    assert [segment.text for segment in cut][-1] == "w7 w8 w9"  # behind the longest pause
    assert [s.text for s in by_pauses(words[:7], 100)] == [" ".join(f"w{n}" for n in range(7))]
    assert by_pauses([], 4.0) == []
    apart = [Word("a", 0, 1, 1), Word("b", 3.0, 4, 1), Word("c", 6.1, 7, 1)]  # something else is in 2.1 s
    assert [s.text for s in by_pauses(apart, 100)] == ["a b", "c"]
    assert [s.text for s in by_lines([Word(c, 0, 1, 1) for c in "abc"], ["a b", "c"], spaces=False)] == ["ab", "c"]


def test_where_something_else_is_said_is_a_cumulative_sum() -> None:
    draw = np.random.default_rng(1)
    better = np.where(draw.random(3000) < 0.1, draw.exponential(4.0, 3000), 0.0).astype(np.float32)
    better[500:512], better[2000:2040] = 4.0, 3.5
    expected, total, begin, best = [], 0.0, 0, (0.0, 0)
    for frame, value in enumerate([*better, -1e9]):
        total += min(value, 5.0) - 62.5 * 0.04
        if total <= 0:
            if best[0] > 8.0:
                expected.append((begin, best[1] + 1))
            total, begin, best = 0.0, frame + 1, (0.0, 0)
        elif total > best[0]:
            best = (total, frame)
    found = [(round(a / 0.04), round(b / 0.04)) for a, b in runs_otherwise(better, 0.04)]
    assert found == expected
    assert any(a <= 500 and b >= 505 for a, b in found)
    assert any(a <= 2000 and b >= 2035 for a, b in found)
    assert len(found) < 10
    assert runs_otherwise(np.zeros(0, np.float32), 0.04) == []


def test_which_words_are_doubted() -> None:
    words = [Word("a", 0.0, 1.0, 0.9), Word("b", 1.0, 1.5, 0.8), Word("c", 2.0, 2.5, 0.7), Word("d", 5.0, 6.0, 0.6)]

    def doubted(begin: float, end: float, begins: set[int]) -> str:
        return "".join(w.text for w in _contradicted(words, [(begin, end)], begins) if not w.confidence)

    assert doubted(0.9, 1.2, {0}) == "ab"
    assert doubted(1.1, 1.2, {0}) == "b"
    assert doubted(1.6, 1.8, {0}) == "bc"  # between them
    assert doubted(1.6, 1.8, {0, 2}) == "bc"  # it may belong to one of the lines
    assert doubted(3.0, 4.5, {0, 3}) == ""  # a sentence that the text does not have
    assert doubted(3.0, 4.5, {0}) == "cd"
    assert doubted(6.5, 7.0, {0}) == ""


@pytest.mark.parametrize("kind", ["left out", "put in", "other"])
def test_words_that_are_not_those_of_the_text(kind: str) -> None:
    noticed, alarms = 0, 0
    for seed in range(12):
        said = spelled_texts(6, seed)
        flat = " ".join(said).split()
        new = {"left out": [], "put in": ["oak", "coat", *flat[2:4]], "other": ["kok", "kottok"]}[kind]
        written = [*flat[:2], *new, *flat[4:]]
        samples = spelled(" ".join(flat), seed)
        noticed += bool(doubt(by_lines(align(speller(), [samples], " ".join(written)), [" ".join(written)])[0]))
        alarms += bool(doubt(by_lines(align(speller(), [samples], " ".join(flat)), [" ".join(flat)])[0]))
    assert noticed == 12
    assert alarms <= 2


SAID = "cat act oak tack"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a recording, its text in two lines."""
    folder = tmp_path_factory.mktemp("align")
    save_model(folder / "m", speller(), "# card\n")
    soundfile.write(folder / "a.wav", spelled(SAID, 5), 8000)
    (folder / "a.txt").write_text("Cat, act!\n\noak tack\n")
    return folder


def run(folder: Path, *arguments: object, text: str = "a.txt") -> Result:
    words = ["align", folder / "a.wav", folder / text, "--model", folder / "m", *arguments]
    return CliRunner().invoke(app, [*map(str, words)])


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("b.srt", "1\n00:00:00,000 --> 00:00:01,000\ncat act\n", "SubRip"),
        ("b.vtt", "WEBVTT\n\n00:00.000 --> 00:01.000\ncat act\n", "WebVTT"),
        ("b.json", '{"text": "cat act"}', "JSON"),
    ],
)
def test_what_is_no_plain_text_is_not_aligned(folder: Path, name: str, text: str, kind: str) -> None:
    (folder / name).write_text(text)
    refused = run(folder, text=name)
    assert refused.exit_code == 2
    assert kind in refused.output
    assert name in refused.output


def test_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    done = run(folder)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [segment["text"] for segment in found["segments"]] == ["Cat, act!", "oak tack"]
    words = [word for segment in found["segments"] for word in segment["words"]]
    assert right([Word(w["word"].lower().strip(",!"), w["start"], w["end"], 1.0) for w in words], SAID) == 1
    assert wording("4-words-2-of-2") in done.stderr
    for name, read in (("a.eaf", read_eaf), ("a.TextGrid", read_textgrid)):
        assert run(folder, "--out", tmp_path / name).exit_code == 0
        tiers = [[a.text for a in tier.annotations if a.text] for tier in read(tmp_path / name).tiers]
        assert tiers[:2] == [["Cat, act!", "oak tack"], ["Cat,", "act!", "oak", "tack"]]
    assert run(folder, "--format", "srt").stdout.startswith("1\n00:00:00,")
    (tmp_path / "a.eaf").write_text("mine")
    assert run(folder, "--out", tmp_path / "a.eaf").exit_code == 2
    assert (tmp_path / "a.eaf").read_text() == "mine"
    assert run(folder, "--out", tmp_path / "a.eaf", "--overwrite").exit_code == 0
    cut = json.loads(run(folder, "--cut", "1").stdout)["segments"]
    assert len(cut) == 2
    assert all(segment["end"] - segment["start"] <= 1 for segment in cut)


def test_text_that_is_not_said_is_named(folder: Path) -> None:
    (folder / "wrong.txt").write_text("cat act\nttt tttttt\n")
    done = run(folder, text="wrong.txt")
    assert done.exit_code == 0
    assert wording("asr-doubtful-0-00-0") in done.stderr
    assert wording("line-2-something-else-is") in done.stderr
    assert "doubtful" not in run(folder).stderr
    left = run(folder, "--least", "0.3", text="wrong.txt")
    assert wording("asr-left-out-0-00") in left.stderr
    assert "tttttt" not in left.stdout
    assert wording("1-of-2-segments") in left.stderr


def test_tiers_join_those_of_an_elan_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes((folder / "a.wav").read_bytes())
    mine = pympi.Eaf()
    mine.add_tier("Notes")
    mine.add_annotation("Notes", 100, 200, "loud")
    mine.to_file(str(tmp_path / "a.eaf"))
    before = (tmp_path / "a.eaf").read_bytes()
    (tmp_path / "out").mkdir()
    words = ["align", tmp_path / "a.wav", folder / "a.txt", "--model", folder / "m", "--out"]

    def aligned(out: Path, *more: object) -> Result:
        return CliRunner().invoke(app, [*map(str, (*words, out, *more))])

    assert aligned(tmp_path / "out" / "b.eaf", "--tier", "said").exit_code == 0
    tiers = {tier.name: [a.text for a in tier.annotations] for tier in read_eaf(tmp_path / "out" / "b.eaf").tiers}
    assert tiers["Notes"] == ["loud"]
    assert tiers["said"] == ["Cat, act!", "oak tack"]
    assert "said-check" not in tiers
    refused = aligned(tmp_path / "a.eaf", "--overwrite")
    assert refused.exit_code == 2
    assert wording("is-read-and-would-be") in refused.stderr
    assert (tmp_path / "a.eaf").read_bytes() == before
    taken = aligned(tmp_path / "out" / "c.eaf", "--tier", "Notes")
    assert taken.exit_code == 2
    assert wording("has-a-tier-notes-already") in taken.stderr
    for name in ("", "a\tb"):
        assert wording("is-no-name-of-a") in aligned(tmp_path / "out" / "c.eaf", "--tier", name).stderr
    assert not (tmp_path / "out" / "c.eaf").exists()


def test_the_way_to_the_recording(folder: Path, tmp_path: Path) -> None:
    assert run(folder, "--out", tmp_path / "deep" / "b.eaf").exit_code == 0
    (media,) = ElementTree.parse(tmp_path / "deep" / "b.eaf").getroot().iter("MEDIA_DESCRIPTOR")
    assert (tmp_path / "deep" / unquote(media.get("RELATIVE_MEDIA_URL"))).samefile(folder / "a.wav")
    assert media.get("MEDIA_URL") == (folder / "a.wav").as_uri()


def test_lines_or_words(folder: Path) -> None:
    assert run(folder, "--format", "srt").stdout.count("-->") == 2
    assert run(folder, "--format", "srt", "--word-times").stdout.count("-->") == 4
    assert len(run(folder, "--format", "tsv").stdout.splitlines()) == 3
    assert run(folder, "--format", "TextGrid").stdout.count('name = "check"') == 1
    assert 'name = "check"' not in run(folder, "--format", "TextGrid", "--check-below", "0").stdout


def test_letters_that_the_model_lacks_are_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "other.txt").write_text("Cat żąż act\noak tack\n")
    assert run(folder, text="other.txt").exit_code == 0
    assert wording("m-does-not-know-2") in caplog.text


def test_what_cannot_be_aligned(folder: Path, tmp_path: Path) -> None:
    (folder / "empty.txt").write_text("\n \n")
    (folder / "other.txt").write_text("12 34\n")
    for arguments, text, message in (
        ((), "empty.txt", wording("empty-txt-has-no-text")),
        ((), "none.txt", wording("none-txt-no-such-file")),
        ((), "other.txt", wording("other-txt-has-no-word")),
        (("--format", "txt"), "a.txt", wording("no-format-txt-with-times")),
        (("--out", tmp_path / "a.doc"), "a.txt", wording("no-format-doc-with-times")),
        (("--out", folder / "a.wav", "--format", "json"), "a.txt", wording("is-read-and-would-be")),
    ):
        done = run(folder, *arguments, text=text)
        assert done.exit_code == 2, done.output
        assert message in done.stderr
    (folder / "a.wav").rename(folder / "b.wav")
    try:
        assert wording("a-wav-no-such-file") in run(folder).stderr
    finally:
        (folder / "b.wav").rename(folder / "a.wav")
