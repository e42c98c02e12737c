"""ELAN's files as pympi writes them, TextGrids as praatio does; and what neither would write."""

from __future__ import annotations

from pathlib import Path

import pympi
import pytest
from praatio import textgrid as praat
from praatio.utilities.constants import Interval, Point
from wording import wording

from asr.data.elan import read_eaf
from asr.data.textgrid import read_textgrid
from asr.data.tiers import Media, Tier
from asr.utils.errors import InputError


def spans(tier: Tier) -> list[tuple[float, float, str]]:
    return [(round(a.start, 6), round(a.end, 6), a.text) for a in tier.annotations]


def written(path: Path) -> Path:
    """Two speakers; below the first's phrases words, which share their time, and a translation."""
    eaf = pympi.Eaf()
    eaf.remove_tier("default")
    eaf.add_linguistic_type("words", "Symbolic_Subdivision", timealignable=False)
    eaf.add_linguistic_type("gloss", "Symbolic_Association", timealignable=False)
    eaf.add_tier("tx@Ana", part="Ana")
    eaf.add_tier("w@Ana", ling="words", parent="tx@Ana", part="Ana")
    eaf.add_tier("ft@Ana", ling="gloss", parent="tx@Ana", part="Ana")
    eaf.add_tier("tx@Bo")
    eaf.add_annotation("tx@Ana", 1000, 2500, "ma lo\n ki")
    eaf.add_annotation("tx@Ana", 3000, 4000, "")
    eaf.add_annotation("tx@Bo", 2000, 2600, "če & <ja>")
    previous = None
    for word in ("ma", "lo", "ki"):
        eaf.add_ref_annotation("w@Ana", "tx@Ana", 1500, word, prev=previous)
        previous = max(eaf.tiers["w@Ana"][1], key=lambda key: int(key[1:]))
    eaf.add_ref_annotation("ft@Ana", "tx@Ana", 1500, "it is so")
    eaf.add_linked_file(
        "file:///C:/Users/Ana/my%20trip/one%20two.wav", relpath="./one%20two.wav", mimetype="audio/x-wav"
    )
    eaf.to_file(str(path))
    return path


def test_an_elan_file_of_pympis(tmp_path: Path) -> None:
    found = read_eaf(written(tmp_path / "a.eaf"))
    tiers = {tier.name: tier for tier in found.tiers}
    assert spans(tiers["tx@Ana"]) == [(1.0, 2.5, "ma lo ki"), (3.0, 4.0, "")]
    assert spans(tiers["tx@Bo"]) == [(2.0, 2.6, "če & <ja>")]
    assert spans(tiers["w@Ana"]) == [(1.0, 1.5, "ma"), (1.5, 2.0, "lo"), (2.0, 2.5, "ki")]
    assert {a.owner for a in tiers["w@Ana"].annotations} == {tiers["tx@Ana"].annotations[0].id}
    assert {a.owner for name in ("tx@Ana", "ft@Ana") for a in tiers[name].annotations} == {""}
    assert spans(tiers["ft@Ana"]) == [(1.0, 2.5, "it is so")]
    assert (tiers["w@Ana"].parent, tiers["w@Ana"].type, tiers["w@Ana"].speaker) == ("tx@Ana", "words", "Ana")
    assert tiers["tx@Bo"].speaker == ""
    assert found.media == (Media("./one two.wav"), Media("/C:/Users/Ana/my trip/one two.wav"))
    assert found.problems == ()


EAF = """<?xml version="1.0"?>{doctype}
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="{unit}">
<MEDIA_DESCRIPTOR MEDIA_URL="a.wav" MIME_TYPE="audio/x-wav" TIME_ORIGIN="{origin}"/></HEADER>
<TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="ts2"/><TIME_SLOT TIME_SLOT_ID="ts3"/>
<TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="4000"/>
</TIME_ORDER>
{tiers}
</ANNOTATION_DOCUMENT>"""
ALIGNED = (
    '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{0}" TIME_SLOT_REF1="ts{1}" TIME_SLOT_REF2="ts{2}">'
    "<ANNOTATION_VALUE>{3}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
)
REFERRING = (
    '<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{0}" ANNOTATION_REF="{1}" {2}>'
    "<ANNOTATION_VALUE>{0}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
)


def eaf(path: Path, tiers: str, doctype: str = "", origin: object = 0, unit: str = "milliseconds") -> Path:
    path.write_text(EAF.format(tiers=tiers, doctype=doctype, origin=origin, unit=unit), encoding="utf-8")
    return path


def tier(name: str, *annotations: str, parent: str = "") -> str:
    above = f'PARENT_REF="{parent}" ' if parent else ""
    return f'<TIER LINGUISTIC_TYPE_REF="t" {above}TIER_ID="{name}">{"".join(annotations)}</TIER>'


def test_slots_without_a_time_lie_evenly_on_their_tier(tmp_path: Path) -> None:
    chain = [ALIGNED.format(i, i, i + 1, f"w{i}") for i in (1, 2, 3)]
    found = read_eaf(eaf(tmp_path / "a.eaf", tier("x", *chain), origin=500))
    assert spans(found.tiers[0]) == [(1.0, 2.0, "w1"), (2.0, 3.0, "w2"), (3.0, 4.0, "w3")]
    assert found.media == (Media("a.wav", 0.5),)
    path = tmp_path / "a.eaf"
    others = "".join(f'<TIME_SLOT TIME_SLOT_ID="o{t}" TIME_VALUE="{t}"/>' for t in (1100, 1200, 3900))
    text = path.read_text().replace('<TIME_SLOT TIME_SLOT_ID="ts4"', f'{others}<TIME_SLOT TIME_SLOT_ID="ts4"')
    path.write_text(text)  # slots of other tiers lie between
    assert spans(read_eaf(path).tiers[0]) == spans(found.tiers[0])
    # Words whose edges are not known belong to the phrase that they lie in.
    phrase = tier("p", ALIGNED.format(9, 1, 4, "w1 w2 w3"))
    words, norm = (
        tier("w", *chain, parent="p"),
        tier("n", *(REFERRING.format(f"r{i}", f"a{i}", "") for i in (1, 2)), parent="w"),
    )
    for each in read_eaf(eaf(path, phrase + words + norm)).tiers[1:]:
        assert {annotation.owner for annotation in each.annotations} == {"a9"}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///D:/a%20b/x.wav", "/D:/a b/x.wav"),
        ("file://server/share/x#1.wav", "/share/x#1.wav"),
        ("file://[x/y.wav", "/y.wav"),
        ("..\\up\\x.wav", "../up/x.wav"),
        ("x.wav", "x.wav"),
    ],
)
def test_paths_of_recordings(tmp_path: Path, url: str, path: str) -> None:
    file = eaf(tmp_path / "a.eaf", "")
    file.write_text(file.read_text().replace('MEDIA_URL="a.wav"', f'MEDIA_URL="{url}"'))
    assert read_eaf(file).media == (Media(path),)


def test_the_order_is_that_of_the_chain_and_parents_may_stand_behind(tmp_path: Path) -> None:
    chain = [
        REFERRING.format("r3", "a1", 'PREVIOUS_ANNOTATION="r2"'),
        REFERRING.format("r1", "a1", ""),
        REFERRING.format("r2", "a1", 'PREVIOUS_ANNOTATION="r1"'),
    ]
    path = eaf(tmp_path / "a.eaf", tier("below", *chain, parent="x") + tier("x", ALIGNED.format(1, 1, 4, "whole")))
    below, above = read_eaf(path).tiers
    assert spans(below) == [(1.0, 2.0, "r1"), (2.0, 3.0, "r2"), (3.0, 4.0, "r3")]
    assert spans(above) == [(1.0, 4.0, "whole")]
    path = eaf(tmp_path / "b.eaf", tier("below", *chain[:2], parent="x") + tier("x", ALIGNED.format(1, 1, 4, "whole")))
    assert [a.text for a in read_eaf(path).tiers[0].annotations] == ["r3", "r1"]  # the chain is broken


def test_what_hangs_in_the_air_is_said(tmp_path: Path) -> None:
    tiers = tier("x", ALIGNED.format(1, 1, 9, "no"), ALIGNED.format(2, 1, 4, "yes"), "<ANNOTATION><ODD/></ANNOTATION>")
    found = read_eaf(eaf(tmp_path / "a.eaf", tiers + tier("y", REFERRING.format("r", "a7", ""), parent="x")))
    assert spans(found.tiers[0]) == [(1.0, 4.0, "yes")]
    assert found.tiers[1].annotations == ()
    assert [problem.partition(":")[0] for problem in found.problems] == [
        "tier 'x', annotation 1",
        "tier 'x', annotation 3",
        "tier 'y', annotation 1",
    ]


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("doctype", "value", "message"),
    [
        (BOMB, "&c;", wording("declares-entities")),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>', "&a;", wording("declares-entities")),
        ('<!DOCTYPE x SYSTEM "http://example.org/x.dtd">', "", wording("declares-entities")),
        ("", "&nothing;", wording("is-not-xml-2")),
    ],
)
def test_entities_are_refused(tmp_path: Path, doctype: str, value: str, message: str) -> None:
    path = eaf(tmp_path / "a.eaf", tier("x", ALIGNED.format(1, 1, 4, value)), doctype)
    with pytest.raises(InputError, match=message) as error:
        read_eaf(path)
    assert str(path) in str(error.value)


def test_what_is_no_elan_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("no-such-file")):
        read_eaf(tmp_path / "none.eaf")
    path = tmp_path / "a.eaf"
    for data, message in (
        (b"", wording("is-not-xml-2")),
        (b"\x00\xff", wording("is-not-xml-2")),
        (b"<a/>", wording("no-elan-file-its-root")),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=message):
            read_eaf(path)
    for tiers in (tier("x", parent="y") + tier("y", parent="x"), tier("x", parent="x")):
        with pytest.raises(InputError, match=wording("is-below-itself")):
            read_eaf(eaf(path, tiers))
    with pytest.raises(InputError, match=wording("its-times-are-pal-frames")):
        read_eaf(eaf(path, "", unit="PAL-frames"))


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_textgrid_of_praatios(tmp_path: Path, form: str, encoding: str) -> None:
    grid = praat.Textgrid(2.0, 5.0)
    grid.addTier(
        praat.IntervalTier("Ana", [Interval(2.5, 3.25, 'she said "no 1.5 !"'), Interval(3.25, 4, "čaj")], 2.0, 5.0)
    )
    grid.addTier(praat.PointTier("tones", [Point(2.75, "H*")], 2.0, 5.0))
    path = tmp_path / "a.TextGrid"
    grid.save(str(path), format=form, includeBlankSpaces=True)
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    ana, tones = read_textgrid(path).tiers
    texts = [span for span in spans(ana) if span[2]]
    assert texts == [(0.5, 1.25, 'she said "no 1.5 !"'), (1.25, 2.0, "čaj")]  # the recording begins at 0
    assert (ana.name, tones.name) == ("Ana", "tones")
    assert spans(tones) == [(0.75, 0.75, "H*")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", wording("ends-before")),
        ('"ooTextFile" "Sound"', wording("textgrid-is-a-sound-of")),
        ('"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "a" 0 1 2 0 1 "x"', wording("ends-before")),
        ('"ooTextFile" "TextGrid" 0 1 <exists> 1 "Matrix"  "a"', wording("a-tier-is-a-matrix")),
        ('"ooTextFile" "TextGrid" 0 1 <exists> 99999999999', wording("is-no-number-of-tiers")),
        ('"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "a" 0 1 1 0 1e99 "x"', wording("1e99-is-no-time")),
        ('"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "a" 0 1 1 0 1 "x', wording("ends-before")),
        ("ooBinaryFile\x08TextGrid", wording("is-a-binary-textgrid")),
    ],
)
def test_what_is_no_textgrid(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_textgrid(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("file_type", ["", "File type = ", "File type="])
def test_a_textgrid_of_an_old_praat(file_type: str, tmp_path: Path) -> None:
    text = '"ooTextFile short"\r"TextGrid"\r\r0\r1 ! the end\r<exists>\r1\r"IntervalTier"\r"a"\r0\r1\r1\r0\r1\r"x"\r'
    text = file_type + text
    (tmp_path / "a.TextGrid").write_bytes(text.encode())
    assert spans(read_textgrid(tmp_path / "a.TextGrid").tiers[0]) == [(0.0, 1.0, "x")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_time_that_is_none_names_its_line(end: str, tmp_path: Path) -> None:
    text = end.join(['"ooTextFile"', '"TextGrid"', "0 1", "<exists> 1", '"IntervalTier" "a" 0 1', "1", "0", '"x"'])
    (tmp_path / "a.TextGrid").write_bytes(text.encode())
    with pytest.raises(InputError, match="line 8"):
        read_textgrid(tmp_path / "a.TextGrid")


def test_a_textgrid_in_an_old_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.TextGrid").write_bytes('"ooTextFile" "TextGrid" 0 1 <exists> 0 ä'.encode("latin-1"))
    with pytest.raises(InputError, match=wording("neither-utf-8-nor-utf")):
        read_textgrid(tmp_path / "a.TextGrid")
    (tmp_path / "a.TextGrid").write_text('"ooTextFile" "TextGrid" 0 1 <absent>')
    assert read_textgrid(tmp_path / "a.TextGrid").tiers == ()
