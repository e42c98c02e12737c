"""ELAN files that are written: read by pympi and by ours; what was there stays, byte by byte."""

from __future__ import annotations

import difflib
import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pympi
import pytest
from lxml import etree
from wording import wording

from asr.data.elan import read_eaf
from asr.data.elan_writer import add_tiers, to_eaf
from asr.data.tiers import Media
from asr.data.transcript import Segment, Transcript, Word
from asr.utils.errors import InputError

WORDS = (Word("ma", 0.5, 0.8, 0.9), Word("<ló>", 0.8, 1.2, 0.3), Word("&", 1.15, 1.3, 0.49))
HEARD = Transcript("in/a b.wav", (Segment(0.5, 1.3, "ma <ló> &", WORDS), Segment(1.25, 2.0, "ki")), 2.5)
TIERS = {
    "draft": [(0.5, 1.3, "ma <ló> &"), (1.3, 2.0, "ki")],
    "draft-words": [(0.5, 0.8, "ma"), (0.8, 1.2, "<ló>"), (1.2, 1.3, "&")],
    "draft-check": [(0.8, 1.2, "<ló> 0.30"), (1.2, 1.3, "& 0.49")],
}
# What a file has to be for ELAN: elements in the order of its schema (EAFv3.0.xsd), ids that are used once, references
# to what is there.
ORDER = ["LICENSE", "HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE", "CONSTRAINT"]


def tiers_of(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    return {tier.name: [(a.start, a.end, a.text) for a in tier.annotations] for tier in read_eaf(path).tiers}


@pytest.mark.parametrize(
    ("least", "checked"), [(0.0, []), (0.4, ["<ló> 0.30"]), (1.0, ["ma 0.90", "<ló> 0.30", "& 0.49"])]
)
def test_below_what_words_are_to_be_checked(least: float, checked: list[str], tmp_path: Path) -> None:
    (tmp_path / "new.eaf").write_text(to_eaf(HEARD, tier="draft", check_below=least), encoding="utf-8")
    (tmp_path / "own.eaf").write_text(to_eaf(HEARD, tier="own"), encoding="utf-8")
    (tmp_path / "both.eaf").write_bytes(add_tiers(tmp_path / "own.eaf", HEARD, tier="draft", check_below=least))
    for name in ("new.eaf", "both.eaf"):
        assert [text for _, _, text in tiers_of(tmp_path / name).get("draft-check", [])] == checked


def check(path: Path) -> None:
    root = etree.parse(str(path)).getroot()
    tags = [child.tag for child in root if isinstance(child.tag, str)]  # not comments
    assert tags == sorted(tags, key=ORDER.index)
    assert tags.count("HEADER") == tags.count("TIME_ORDER") == 1
    ids = [value for element in root.iter() for key, value in element.attrib.items() if key in IDS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[^\W\d][\w.-]*", value) for value in ids)  # NCName
    slots = {element.get("TIME_SLOT_ID") for element in root.iter("TIME_SLOT")}
    used = {element.get(f"TIME_SLOT_REF{i}") for element in root.iter("ALIGNABLE_ANNOTATION") for i in (1, 2)}
    assert used <= slots
    types = {element.get("LINGUISTIC_TYPE_ID"): element.get("CONSTRAINTS") for element in root.iter("LINGUISTIC_TYPE")}
    constraints = [element.get("STEREOTYPE") for element in root.iter("CONSTRAINT")]
    assert len(set(constraints)) == len(constraints)
    assert {constraint for constraint in types.values() if constraint} <= set(constraints)
    names = [element.get("TIER_ID") for element in root.iter("TIER")]
    assert len(set(names)) == len(names)
    for tier in root.iter("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in types
        assert tier.get("PARENT_REF") is None or tier.get("PARENT_REF") in names


IDS = ("TIME_SLOT_ID", "ANNOTATION_ID")


def test_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    path.write_text(to_eaf(HEARD, tier="draft"), encoding="utf-8")
    check(path)
    assert tiers_of(path) == TIERS
    assert read_eaf(path).media == (Media("./a b.wav"), Media("a b.wav"))
    theirs = pympi.Eaf(str(path))
    found = {
        name: [
            (start / 1000, end / 1000, text) for start, end, text in sorted(theirs.get_annotation_data_for_tier(name))
        ]
        for name in theirs.get_tier_names()
    }
    assert found == TIERS
    assert theirs.get_parameters_for_tier("draft-words")["PARENT_REF"] == "draft"


def test_nothing_was_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    path.write_text(to_eaf(Transcript("x.mp3", (), 1.0)), encoding="utf-8")
    check(path)
    assert tiers_of(path) == {"transcript": []}
    words = (Word("\x00\ud800a", 0.1, 0.1, 1.0),)  # what XML cannot have, and a word without time
    path.write_text(to_eaf(Transcript("-", (Segment(0.1, 0.1, "\x00a\x0b\ufffe", words),), 1.0)), encoding="utf-8")
    check(path)
    assert tiers_of(path)["transcript"] == [(0.1, 0.101, "a")]


def theirs(path: Path, *, constraint: bool = True) -> Path:
    made = pympi.Eaf()
    if not constraint:
        made.constraints.pop("Included_In")
    made.add_tier("Phrase", part="Ana")
    made.add_annotation("Phrase", 100, 900, "već tu > tam")
    made.add_linked_file("file:///D:/x.wav", relpath="./x.wav", mimetype="audio/x-wav")
    made.to_file(str(path))
    return path


NO_TIERS = """<?xml version='1.0' encoding='UTF-8'?>
<ANNOTATION_DOCUMENT AUTHOR='a&gt;b' DATE='2020-01-01T00:00:00Z' FORMAT='3.0' VERSION='3.0'>
<HEADER MEDIA_FILE='a>b' TIME_UNITS='milliseconds'/> <!-- kept -->
<TIME_ORDER/><LINGUISTIC_TYPE LINGUISTIC_TYPE_ID='asr1' NOTE='>'/>
</ANNOTATION_DOCUMENT>"""


@pytest.mark.parametrize("kind", ["pympi", "without the constraint", "without tiers", "without spaces", "latin-1"])
def test_tiers_are_added_and_all_else_stays(tmp_path: Path, kind: str) -> None:
    path, out = tmp_path / "a.eaf", tmp_path / "b.eaf"
    if kind == "without tiers":
        path.write_text(NO_TIERS)
    elif kind == "without spaces":
        tier = '<TIER LINGUISTIC_TYPE_REF="mine" TIER_ID="x"/>'
        path.write_text(
            "".join(NO_TIERS.replace("asr1", "mine").splitlines()).replace("<TIME_ORDER/>", f"<TIME_ORDER/>{tier}")
        )
    else:
        theirs(path, constraint=kind == "pympi")
    if kind == "latin-1":
        text = path.read_text(encoding="utf-8").replace("ć", "é")
        text = re.sub("encoding=['\"][^'\"]*['\"]", 'encoding="ISO-8859-1"', text, count=1)
        path.write_bytes(text.encode("latin-1"))
    before = tiers_of(path)
    out.write_bytes(add_tiers(path, HEARD, tier="draft"))
    check(out)
    assert tiers_of(out) == before | TIERS
    out.write_bytes(add_tiers(out, HEARD, tier="again"))  # as often as one likes
    check(out)
    assert tiers_of(out) == before | TIERS | {name.replace("draft", "again"): rows for name, rows in TIERS.items()}
    with pytest.raises(InputError, match=wording("has-a-tier-again-already")):
        add_tiers(out, HEARD, tier="again")
    assert canonical(taken_out(out)) == canonical(path)


def taken_out(path: Path) -> io.BytesIO:
    """The file without what was added."""
    tree = ElementTree.parse(path, ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True)))
    root = tree.getroot()
    for parent in (root, root.find("TIME_ORDER")):
        assert parent is not None
        for child in list(parent):
            values = [value for value in child.attrib.values() if re.match(r"asr\d|draft|again", value)]
            kept = values == ["asr1"] and child.get("NOTE")  # the one that was there
            if values and not kept:
                parent.remove(child)
    found = io.BytesIO()
    tree.write(found, encoding="utf-8")
    return found


def canonical(source: Path | io.BytesIO) -> str:
    """XML C14N, white space aside; without the constraint that files may lack."""
    data = source.getvalue() if isinstance(source, io.BytesIO) else source.read_bytes()
    text = data.decode("latin-1" if b"ISO" in data[:80] else "utf-8")
    text = ElementTree.canonicalize(text, strip_text=True, with_comments=True)
    return re.sub(r'<CONSTRAINT [^>]*"Included_In"></CONSTRAINT>', "", text)


def test_what_was_there_stays_byte_by_byte(tmp_path: Path) -> None:
    path = theirs(tmp_path / "a.eaf")
    data = path.read_bytes()
    found = add_tiers(path, HEARD, tier="draft")
    changes = difflib.SequenceMatcher(None, data, found, autojunk=False).get_opcodes()
    assert {kind for kind, *_ in changes} == {"equal", "insert"}


def test_times_are_the_files_where_the_recording_begins_earlier(tmp_path: Path) -> None:
    path = theirs(tmp_path / "a.eaf")
    path.write_text(
        path.read_text(encoding="utf-8").replace("MIME_TYPE", 'TIME_ORIGIN="1000" MIME_TYPE'), encoding="utf-8"
    )
    path.write_bytes(add_tiers(path, HEARD, tier="draft"))
    found = tiers_of(path)
    assert found["draft"] == [(0.0, 0.3, "ma <ló> &"), (0.3, 1.0, "ki")]
    assert found["draft-words"] == [(0.0, 0.2, "<ló>"), (0.2, 0.3, "&")]
    check(path)


def test_names_of_files_that_are_no_utf_8() -> None:
    assert "caf%E9.wav" in to_eaf(Transcript("caf\udce9.wav", (), 1.0))


def test_what_tiers_cannot_be_added_to(tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    path.write_text("<ANNOTATION_DOCUMENT/>")
    with pytest.raises(InputError, match=wording("has-no-time-order")):
        add_tiers(path, HEARD)
    path.write_bytes(NO_TIERS.replace("UTF-8", "UTF-16").encode("utf-16"))
    with pytest.raises(InputError, match=wording("is-in-utf-16")):
        add_tiers(path, HEARD)
    path.write_text("no")
    with pytest.raises(InputError, match=wording("is-not-xml-2")):
        add_tiers(path, HEARD)
