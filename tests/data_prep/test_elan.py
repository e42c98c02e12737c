"""Folders of ELAN's and Praat's files, made by pympi and praatio."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pympi
import pytest
import soundfile
from helpers import speechlike
from praatio import textgrid as praat
from praatio.utilities.constants import Interval
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.utils.errors import InputError
from data_prep import elan, textgrid

Texts = list[tuple[float, float, str]]


def eaf(path: Path, media: str = "", **tiers: Texts) -> Path:
    """A file with tiers of (start, end, text); a__b is the tier a@b."""
    made = pympi.Eaf()
    made.remove_tier("default")
    for name, texts in tiers.items():
        made.add_tier(name.replace("__", "@"))
        for start, end, text in texts:
            made.add_annotation(name.replace("__", "@"), round(1000 * start), round(1000 * end), text)
    if media:
        made.add_linked_file(media, mimetype="audio/x-wav")
    path.parent.mkdir(parents=True, exist_ok=True)
    made.to_file(str(path))
    return path


def everything(prepared: Any, out: Path) -> dict[str, tuple[str, str]]:
    """Id -> (text, speaker) of all splits."""
    return {key: value for split in prepared(out).values() for key, value in split.items()}


SAID = "one two three four five six seven eight nine ten"  # about two seconds
LINES: Texts = [(0.1, 0.3, "eins zwei"), (0.4, 0.6, "drei"), (0.7, 0.9, "vier")]


@pytest.fixture
def folder(tmp_path: Path, record: Callable[..., Path]) -> Path:
    """Two files, one in a folder below, each with its recording."""
    for name in ("a", "trip two/b c"):
        eaf(tmp_path / "in" / f"{name}.eaf", tx=LINES)
        record(tmp_path / "in" / f"{name}.wav", SAID)
    return tmp_path / "in"


def test_the_tier_that_all_have(folder: Path, tmp_path: Path, prepared: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        summary = elan.prepare(folder, tmp_path / "out")
    assert wording("6-utterances-name-no-speaker") in caplog.text
    assert summary.left_out == []
    found = everything(prepared, tmp_path / "out")
    texts = [text for _, _, text in LINES]
    ids = [f"{name}-{number}" for name in ("a", "trip_two-b_c") for number in (1, 2, 3)]
    assert {key: text for key, (text, _) in found.items()} == dict(zip(ids, texts * 2, strict=True))
    spans = {(cut["id"], round(cut["start"], 3), round(cut["duration"], 3)) for cut in cuts_of(tmp_path / "out")}
    assert spans == {(key, start, round(end - start, 3)) for key, (start, end, _) in zip(ids, LINES * 2, strict=True)}
    assert elan.prepare(folder, tmp_path / "out").already_done
    eaf(folder / "a.eaf", tx=[*LINES[:2], (0.7, 0.9, "sieben")])  # corrected since
    with pytest.raises(InputError, match=wording("choose-another-out-or-remove")):
        elan.prepare(folder, tmp_path / "out")


def test_which_tiers(folder: Path, tmp_path: Path, prepared: Any) -> None:
    eaf(folder / "a.eaf", tx__Ana=LINES, tx__Bo=[(1.0, 1.2, "fünf")], ft__Ana=[(0.1, 0.3, "one two")], notes=LINES)
    with pytest.raises(InputError, match=wording("not-clear-which-tier-name")) as error:
        elan.prepare(folder, tmp_path / "out")
    assert "'tx@Ana'" in str(error.value)
    with pytest.raises(InputError, match=wording("no-file-has-a-tier")):
        elan.prepare(folder, tmp_path / "out", tier=["txt"])
    summary = elan.prepare(folder, tmp_path / "out", tier=["tx@*"])
    assert len(summary.left_out) == 1
    assert summary.left_out[0].endswith("b c.eaf: has none of the tiers, only 'tx' (type default-lt): 3 texts")
    found = everything(prepared, tmp_path / "out")
    assert found["a-tx@Bo-1"] == ("fünf", "Bo")
    assert {speaker for _, speaker in found.values()} == {"Ana", "Bo"}
    both = everything(prepared, elan.prepare(folder, tmp_path / "both", tier=["tx", "tx@Ana"]).folder)
    assert len(both) == 6


def test_recordings_are_found_by_the_names_that_files_give(
    folder: Path, tmp_path: Path, record: Callable[..., Path]
) -> None:
    eaf(folder / "a.eaf", "file:///D:/Elan/Take%2012.WAV", tx=LINES)
    record(folder / "take 12.wav", SAID)
    assert sources(elan.prepare(folder, tmp_path / "out").folder) == {"take 12.wav", "b c.wav"}
    (folder / "take 12.wav").rename(tmp_path / "take 12.wav")
    (folder / "a.wav").unlink()
    summary = elan.prepare(folder, tmp_path / "less")
    assert len(summary.left_out) == 1
    assert "its recording (Take 12.WAV) is not there: name its folder by --media" in summary.left_out[0]
    eaf(folder / "a.eaf", "../take 12.wav", tx=LINES)  # out of the folder, which no file can do
    assert sources(elan.prepare(folder, tmp_path / "still", seed=2).folder) == {"b c.wav"}
    assert sources(elan.prepare(folder, tmp_path / "more", media=tmp_path).folder) == {"take 12.wav", "b c.wav"}


def cuts_of(out: Path) -> list[dict[str, Any]]:
    """All that a prepared folder holds, as Lhotse has it."""
    return [json.loads(line) for path in out.glob("cuts_*") for line in gzip.decompress(path.read_bytes()).splitlines()]


def sources(out: Path) -> set[str]:
    """Names of its recordings."""
    return {Path(cut["recording"]["sources"][0]["source"]).name for cut in cuts_of(out)}


def test_what_cannot_be_used_is_listed_and_the_rest_is_done(
    folder: Path, tmp_path: Path, record: Callable[..., Path], prepared: Any
) -> None:
    (folder / "broken.eaf").write_bytes(b"<ANNOTATION_DOCUMENT")
    eaf(folder / "odd.eaf", tx=[(0.1, 0.2, " "), (0.3, 0.5, "gut"), (90.0, 91.0, "zu spät")])
    record(folder / "odd.wav", SAID)
    summary = elan.prepare(folder, tmp_path / "out")
    found = {line.partition(": ")[0].removeprefix(f"{folder}/"): line for line in summary.left_out}
    assert "has no text" in found["odd.eaf, tier 'tx', annotation 1"]
    assert any("is not XML" in line for line in summary.left_out)
    assert any("annotation 3: is at 90.000 to 91.000 s, the recording is" in line for line in summary.left_out)
    assert len(summary.left_out) == 3
    assert everything(prepared, tmp_path / "out")["odd-2"] == ("gut", "")
    result = CliRunner().invoke(app, ["prepare", "elan", str(folder), "--tier", "tx", "--out", str(tmp_path / "cli")])
    assert result.exit_code == 1


def test_speakers_who_talk_at_the_same_time(tmp_path: Path, record: Callable[..., Path], prepared: Any) -> None:
    tiers = {"tx__A": [(0.0, 0.4, "a"), (0.5, 0.6, "aa")], "tx__B": [(0.35, 0.49, "b"), (0.55, 0.95, "bb")]}
    eaf(tmp_path / "in" / "x.eaf", **tiers)
    record(tmp_path / "in" / "x.wav", SAID)
    eaf(tmp_path / "in" / "y.eaf", tx__C=[(0.1, 0.2, "c")])
    record(tmp_path / "in" / "y.wav", SAID)
    summary = elan.prepare(tmp_path / "in", tmp_path / "out", tier=["tx@*"])
    # Of b's 0.14 s a third is A's, of aa's 0.1 s half is B's; a and bb have an eighth in common with others.
    assert [line.partition(": ")[2] for line in summary.left_out] == [
        "B speaks at the same time",
        "A speaks at the same time",
    ]
    assert {text for text, _ in everything(prepared, tmp_path / "out").values()} == {"a", "bb", "c"}
    assert [sorted({s for _, s in split.values()}) for split in prepared(tmp_path / "out").values()] != []
    kept = elan.prepare(tmp_path / "in", tmp_path / "all", tier=["tx@*"], keep_overlaps=True)
    assert kept.left_out == []


def test_words_that_share_the_time_of_a_phrase_and_its_translation(
    tmp_path: Path, record: Callable[..., Path], prepared: Any
) -> None:
    made = pympi.Eaf()
    made.remove_tier("default")
    made.add_linguistic_type("words", "Symbolic_Subdivision", timealignable=False)
    made.add_linguistic_type("gloss", "Symbolic_Association", timealignable=False)
    made.add_tier("phrase", part="Ana")
    made.add_tier("word", ling="words", parent="phrase", part="Ana")
    made.add_tier("free", ling="gloss", parent="phrase")
    for start in (100, 300, 500):
        made.add_annotation("phrase", start, start + 150, f"ma lo {start}")
        previous = None
        for word in ("ma", "lo", str(start)):
            made.add_ref_annotation("word", "phrase", start + 50, word, prev=previous)
            previous = max(made.tiers["word"][1], key=lambda key: int(key[1:]))
        made.add_ref_annotation("free", "phrase", start + 50, f"it is {start}")
    (tmp_path / "in").mkdir()
    made.to_file(str(tmp_path / "in" / "x.eaf"))
    record(tmp_path / "in" / "x.wav", SAID)
    expected = {f"ma lo {start}": f"it is {start}" for start in (100, 300, 500)}
    for chosen in ({"tier": ["phrase"]}, {"tier": ["word"]}, {"type": "words"}):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        elan.prepare(tmp_path / "in", out, translation="free", split_by="random", **chosen)
        said = [supervision for cut in cuts_of(out) for supervision in cut["supervisions"]]
        found = {each["text"]: each["custom"]["translation"] for each in said}
        assert found == expected
    free = everything(prepared, elan.prepare(tmp_path / "in", tmp_path / "fr", type="gloss", split_by="random").folder)
    assert {text for text, _ in free.values()} == set(expected.values())


def test_recordings_of_the_same_name(tmp_path: Path, record: Callable[..., Path]) -> None:
    """In folders that mirror each other, or where the files say which."""
    for name in ("ana", "bo"):
        eaf(tmp_path / "in" / "eaf" / name / "1.eaf", f"../../wav/{name}/1.wav", tx=LINES)
        eaf(tmp_path / "in" / "eaf" / f"{name}2" / "2.eaf", f"file:///D:/x/{name}/2.wav", tx=LINES)
        record(tmp_path / "in" / "wav" / name / "1.wav", SAID)
        record(tmp_path / "in" / "wav" / name / "2.wav", SAID)
    cuts = cuts_of(elan.prepare(tmp_path / "in", tmp_path / "out").folder)
    found = {cut["id"].rpartition("-")[0]: cut["recording"]["sources"][0]["source"] for cut in cuts}
    places = {key: Path(path).relative_to(tmp_path / "in" / "wav").as_posix() for key, path in found.items()}
    assert places == {
        "eaf-ana-1": "ana/1.wav",
        "eaf-bo-1": "bo/1.wav",
        "eaf-ana2-2": "ana/2.wav",
        "eaf-bo2-2": "bo/2.wav",
    }
    eaf(tmp_path / "in" / "3.eaf", tx=LINES)
    for name in ("c", "d"):
        record(tmp_path / "in" / name / "3.wav", SAID)
    (left_out,) = elan.prepare(tmp_path / "in", tmp_path / "more").left_out
    assert "3.eaf: its recording may be any of" in left_out


def test_a_recording_that_comes_later_is_taken(folder: Path, tmp_path: Path) -> None:
    (folder / "a.wav").rename(tmp_path / "a.wav")
    assert len(elan.prepare(folder, tmp_path / "out").left_out) == 1
    (tmp_path / "a.wav").rename(folder / "a.wav")
    with pytest.raises(InputError, match=wording("choose-another-out-or-remove")):
        elan.prepare(folder, tmp_path / "out")


def test_a_recording_that_begins_earlier(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "trip two/b c"):
        path = eaf(folder / f"{name}.eaf", f"{Path(name).name}.wav", tx=LINES)
        path.write_text(path.read_text().replace("MIME_TYPE", 'TIME_ORIGIN="500" MIME_TYPE'))
    starts = {round(cut["start"], 3) for cut in cuts_of(elan.prepare(folder, tmp_path / "out").folder)}
    assert starts == {0.6, 0.9, 1.2}


def test_ids_are_each_utterances_own(tmp_path: Path, record: Callable[..., Path]) -> None:
    for name in ("a-b", "a/b"):
        eaf(tmp_path / "in" / f"{name}.eaf", tx=LINES)
        record(tmp_path / "in" / f"{name}.wav", SAID)
    ids = [cut["id"] for cut in cuts_of(elan.prepare(tmp_path / "in", tmp_path / "out").folder)]
    assert sorted(ids) == sorted(f"a-b-{n}{more}" for n in (1, 2, 3) for more in ("", "-2"))


def test_what_was_asked_for_and_is_not_there(folder: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"tier": ["tx", "ty"]}, wording("no-file-has-a-tier-2")),
        ({"type": "words"}, wording("no-file-has-a-tier-3")),
        ({"tier": ["tx"], "translation": "ft"}, wording("no-file-has-a-tier-4")),
    ):
        with pytest.raises(InputError, match=message):
            elan.prepare(folder, tmp_path / "out", **options)
    (folder / "link.eaf").symlink_to(tmp_path / "gone.eaf")
    (left_out,) = elan.prepare(folder, tmp_path / "out").left_out
    assert "link.eaf: is a link to nothing" in left_out


def test_a_broken_recording_leaves_the_split_whole(tmp_path: Path, record: Callable[..., Path], prepared: Any) -> None:
    for n in range(8):
        eaf(tmp_path / "in" / f"{n}.eaf", **{f"tx__{n}": LINES})
        record(tmp_path / "in" / f"{n}.wav", SAID)
    for n in range(5):
        (tmp_path / "in" / f"{n}.wav").write_bytes(b"RIFF")
    summary = elan.prepare(tmp_path / "in", tmp_path / "out", tier=["tx@*"])
    assert len(summary.left_out) == 5
    assert {name: len(split) for name, split in prepared(tmp_path / "out").items()} == {"dev": 3, "test": 3, "train": 3}


def test_three_speakers_are_kept_apart(tmp_path: Path, record: Callable[..., Path], prepared: Any) -> None:
    for name in ("Ana", "Bo", "Cy"):
        eaf(tmp_path / "in" / f"{name}.eaf", **{f"tx__{name}": LINES})
        record(tmp_path / "in" / f"{name}.wav", SAID)
    splits = prepared(elan.prepare(tmp_path / "in", tmp_path / "out", tier=["tx@*"]).folder)
    assert all(len({speaker for _, speaker in split.values()}) == 1 for split in splits.values())
    with pytest.raises(InputError, match=wording("elan-files-have-no-split")):
        elan.prepare(tmp_path / "in", tmp_path / "no", split_by="column")
    for missing in (tmp_path / "none", tmp_path / "out"):
        with pytest.raises(InputError, match=wording("no-such-folder-holds-no")):
            elan.prepare(missing, tmp_path / "no")
    with pytest.raises(InputError, match=wording("asr-prepare-elan-folder-out")):
        elan.prepare(None, tmp_path / "no")


def test_textgrids(tmp_path: Path, record: Callable[..., Path], prepared: Any) -> None:
    for name in ("x", "y"):
        grid = praat.Textgrid(0.0, 1.0)
        for speaker, start in (("Ana", 0.1), ("Bo", 0.5)):
            grid.addTier(praat.IntervalTier(speaker, [Interval(start, start + 0.3, f"{speaker} {name}")], 0.0, 1.0))
        record(tmp_path / "in" / f"{name}.wav", SAID)
        grid.save(str(tmp_path / "in" / f"{name}.TextGrid"), format="short_textgrid", includeBlankSpaces=True)
    summary = textgrid.prepare(tmp_path / "in", tmp_path / "out", tier=["Ana", "Bo"])
    found = everything(prepared, tmp_path / "out")
    assert set(found.values()) == {(f"{speaker} {name}", speaker) for speaker in ("Ana", "Bo") for name in ("x", "y")}
    assert summary.left_out == []  # Praat writes a pause as an interval without text
    arguments = ["prepare", "textgrid", str(tmp_path / "in"), "--tier", "A*", "--tier", "Bo", "--out"]
    assert CliRunner().invoke(app, [*arguments, str(tmp_path / "cli")]).exit_code == 0
    assert set(everything(prepared, tmp_path / "cli").values()) == set(found.values())


def test_a_tier_of_drafts_is_no_speaker(tmp_path: Path, record: Callable[..., Path], prepared: Any) -> None:
    """Speakers who are named stay the only ones, and a tier that stands alone in its file is nobody's."""
    for name, tier in (("a", "Phrase__Ana"), ("b", "Phrase__Bo"), ("c", "draft")):
        eaf(tmp_path / "in" / f"{name}.eaf", **{tier: LINES})
        record(tmp_path / "in" / f"{name}.wav", SAID)
    elan.prepare(tmp_path / "in", tmp_path / "out", tier=["Phrase*", "draft"])
    assert {speaker for _, speaker in everything(prepared, tmp_path / "out").values()} == {"Ana", "Bo", ""}
    (tmp_path / "in" / "a.eaf").unlink()
    (tmp_path / "in" / "b.eaf").unlink()
    eaf(tmp_path / "in" / "b.eaf", Phrase=LINES)
    elan.prepare(tmp_path / "in", tmp_path / "again", tier=["Phrase", "draft"])
    assert {speaker for _, speaker in everything(prepared, tmp_path / "again").values()} == {""}


def test_what_was_left_out_is_told_where_too_little_is_left(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.wav"):
        path.write_bytes(b"RIFF")
    with pytest.raises(InputError, match=wording("no-annotation-can-be-used")) as raised:
        elan.prepare(folder, tmp_path / "out")
    assert len(raised.value.left_out) == 2
    done = CliRunner().invoke(app, ["prepare", "elan", str(folder), "--out", str(tmp_path / "o")])
    assert done.exit_code == 2
    assert done.stderr.count(wording("asr-left-out")) == 2
    assert "a.eaf" in done.stderr
    assert "b c.eaf" in done.stderr


def test_translations_of_several_speakers(tmp_path: Path, record: Callable[..., Path]) -> None:
    made = pympi.Eaf()
    made.add_linguistic_type("ft-lt", "Symbolic_Association", timealignable=False)
    for start, who in ((100, "A"), (700, "B")):
        made.add_tier(f"tx@{who}")
        made.add_annotation(f"tx@{who}", start, start + 500, f"ma {who}")
        made.add_tier(f"ft@{who}", "ft-lt", f"tx@{who}")
        made.add_ref_annotation(f"ft@{who}", f"tx@{who}", start + 1, f"say {who}")
    record(tmp_path / "in" / "a.wav", SAID)
    made.to_file(str(tmp_path / "in" / "a.eaf"))
    eaf(tmp_path / "in" / "b.eaf", tx__C=LINES)
    record(tmp_path / "in" / "b.wav", SAID)
    summary = elan.prepare(tmp_path / "in", tmp_path / "out", tier=["tx@*"], translation="ft@*")
    cuts = "".join(gzip.decompress(path.read_bytes()).decode() for path in summary.folder.glob("cuts_*"))
    assert '"translation": "say A"' in cuts
    assert '"translation": "say B"' in cuts


def grid(path: Path, name: str, intervals: str, count: int, kind: str = "IntervalTier", end: float = 2.1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f'"ooTextFile"\n"TextGrid"\n0\n{end}\n<exists>\n1\n"{kind}"\n"{name}"\n0\n{end}\n{count}\n{intervals}\n'
    path.write_text(text, encoding="utf-8")


def test_annotations_that_overrun_are_cut_and_counted(tmp_path: Path, record: Callable[..., Path]) -> None:
    soundfile.write(record(tmp_path / "in" / "a.wav"), speechlike(2.0, 8000), 8000)
    words = '0 0.5 "one"\n0.5 1 "two"\n1 1.5 "three"\n1.5 2.05 "four"\n1.4 2.1 "five"\n2.02 2.08 "six"'
    grid(tmp_path / "in" / "a.TextGrid", "Ana", words, 6)
    summary = textgrid.prepare(tmp_path / "in", tmp_path / "out", keep_overlaps=True)
    assert [line.split(":")[0].rpartition(" ")[2] for line in summary.left_out] == ["5", "6"]
    assert len(summary.notes) == 1
    assert "annotation 4" in summary.notes[0]
    made = pympi.Eaf()
    made.add_tier("Phrase")
    for start in (0, 500, 1000, 1550):
        made.add_annotation("Phrase", start, start + 500, "x")
    (tmp_path / "in" / "a.TextGrid").unlink()
    made.to_file(str(tmp_path / "in" / "a.eaf"))
    summary = elan.prepare(tmp_path / "in", tmp_path / "out2", tier=["Phrase"])
    assert (summary.left_out, len(summary.notes)) == ([], 1)
    assert sum(summary.utterances.values()) == 4


def test_symbols_of_praat(tmp_path: Path, record: Callable[..., Path], prepared: Any) -> None:
    soundfile.write(record(tmp_path / "in" / "a.wav"), speechlike(2.0, 8000), 8000)
    grid(tmp_path / "in" / "a.TextGrid", r"\eef", '0 0.5 "\\ng\\a""a"\n0.5 1 "C:\\ng"\n1 1.5 "b\\xyc"', 3)
    summary = textgrid.prepare(tmp_path / "in", tmp_path / "out")
    assert {text for text, _ in everything(prepared, tmp_path / "out").values()} == {"ŋäa", r"C:\ng", r"b\xyc"}
    known, unknown = summary.notes[:2]  # then those of letters that are dropped
    assert r"\ng" in known
    assert r"\\xy" in unknown
    assert str(tmp_path / "in" / "a.TextGrid") in unknown


def test_tiers_and_speakers_are_named_as_people_see_them(
    tmp_path: Path, record: Callable[..., Path], prepared: Any
) -> None:
    for name, tier in (("a", "tx@José"), ("b", "tx@Jose\u0301"), ("c", "tx@\u00a0José")):
        soundfile.write(record(tmp_path / "in" / f"{name}.wav"), speechlike(2.0, 8000), 8000)
        grid(tmp_path / "in" / f"{name}.TextGrid", tier, '0 0.5 "x"\n0.5 1 "y"', 2)
    textgrid.prepare(tmp_path / "in", tmp_path / "out", tier=["tx@Jose\u0301"])
    assert {speaker for _, speaker in everything(prepared, tmp_path / "out").values()} == {"José"}


def test_files_of_other_programs_are_named(tmp_path: Path, record: Callable[..., Path]) -> None:
    record(tmp_path / "in" / "a.wav", SAID)
    grid(tmp_path / "in" / "a.TextGrid", "points", '0.5 "H*"\n1.0 "L*"', 2, kind="TextTier")
    with pytest.raises(InputError, match=r"\.textgrid:"):
        elan.prepare(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match=r"prepare.textgrid"):
        elan.prepare(tmp_path / "in" / "a.TextGrid", tmp_path / "out")
    with pytest.raises(InputError, match=wording("its-2-annotations-are-points")) as raised:
        textgrid.prepare(tmp_path / "in", tmp_path / "out")
    assert len(raised.value.left_out) == 1
    for name, content, kind in (
        ("b.eaf", "<?xml version='1.0'?><ANNOTATION_DOCUMENT/>", "asr prepare elan"),
        ("b.trs", "<?xml version='1.0'?>\n<!DOCTYPE Trans SYSTEM 'trans-14.dtd'>\n<Trans/>", "Transcriber"),
        ("b.pfsx", "<preferences/>", "pfsx"),
        ("b.Collection", 'File type = "ooTextFile"\nObject class = "Collection"\n', "Collection"),
        ("b.PitchTier", '"ooTextFile"\n"PitchTier"\n0 1 0\n', "PitchTier"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=kind):
            textgrid.prepare(tmp_path / name, tmp_path / "out")


def test_one_speaker_on_two_tiers(tmp_path: Path, prepared: Any, record: Callable[..., Path]) -> None:
    """Two tiers of one name: what stands there twice is taken once; two texts of one time are left out."""
    record(tmp_path / "in" / "a.wav", SAID)
    tiers = [LINES, [LINES[0], (0.4, 0.6, "zwei"), (0.8, 1.0, "neun")]]
    body = " ".join(
        f'"IntervalTier" "Ana" 0 2 {len(each)} ' + " ".join(f'{start} {end} "{text}"' for start, end, text in each)
        for each in tiers
    )
    (tmp_path / "in" / "a.TextGrid").write_text(f'"ooTextFile" "TextGrid" 0 2 <exists> 2 {body}', encoding="utf-8")
    summary = textgrid.prepare(tmp_path / "in", tmp_path / "out", tier=["Ana"], split_by="random")
    assert {text for text, _ in everything(prepared, tmp_path / "out").values()} == {"eins zwei", "vier", "neun"}
    assert len(summary.left_out) == 2
    assert any("'Ana'" in note for note in summary.notes)
    assert len(summary.notes) == 3  # the name, the text that is there twice, and what overlaps


def test_tiers_without_texts(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.eaf"):
        eaf(path, tx=[(0.1, 0.3, "")])
    with pytest.raises(InputError, match=wording("no-annotation-has-a-text")):
        elan.prepare(folder, tmp_path / "out")
