"""Files of texts that other programs write: which field is which, and what no text may be taken for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wording import wording

from asr.evaluate.texts import Pairs, as_references, pair, read_lines, read_texts
from asr.evaluate.wer import score
from asr.utils.errors import InputError


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def paired(reference: Path, hypothesis: Path) -> Pairs:
    return pair(as_references(read_texts(reference)), read_texts(hypothesis, empty=True))


def errors(pairs: Pairs) -> tuple[int, int]:
    counts = score(pairs.references, pairs.hypotheses).words
    return counts.errors, counts.length


def refusal(reference: Path, hypothesis: Path) -> str:
    with pytest.raises(InputError) as error:
        paired(reference, hypothesis)
    return str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "pred_str",
        "pred_text_pc",
        "pred_text_2",
        "predText",
        "text_pred",
        "pred_sentence",
        "preds",
        "predict",
        "hyps",
        "hyp1",
        "generated_text",
        "result",
        "inference",
        "model_output",
        "whisper-large-v3",
        "WhisperLargeV3",
        "wav2vec2",
        "asr_transcription",
        "recognition",
        "decoded_text",
    ],
)
def test_a_hypothesis_by_a_word_of_its_name(tmp_path: Path, name: str) -> None:
    rows = [{"id": "u1", "text": "one two", name: "one too"}, {"id": "u2", "text": "a b", name: "a b"}]
    table = "".join(",".join(row) + "\n" for row in ([*rows[0]], *(row.values() for row in rows)))
    for path in (
        written(tmp_path / "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
        written(tmp_path / "x.csv", table),
    ):
        assert errors(paired(path, path)) == (1, 4)
        assert any(name in note for note in read_texts(path).notes)


@pytest.mark.parametrize(
    "name",
    [
        "asr_model",
        "hyp_len",
        "pred_score",
        "asr_confidence",
        "hypothesis_path",
        "predicted_language",
        "result",
        "label",
    ],
)
def test_what_is_told_of_a_hypothesis_is_none(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "x.csv", f"id,text,{name}\nu1,one two,0.5\n")
    assert read_texts(path).hypotheses == {"u1": "one two"}


@pytest.mark.parametrize("name", ["gt", "label_str", "target_text", "ref_sentence", "text_ref", "gold_text", "Actual"])
def test_a_reference_by_a_word_of_its_name(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "x.csv", f"id,text,{name}\nu1,one too,one two\n")
    assert paired(path, path).references == ["one two"]


@pytest.mark.parametrize("fields", ["hyp1 hyp2", "pred_text pred_text_pc", "whisper wav2vec2", "hypothesis output"])
def test_several_hypotheses_are_refused_by_name(tmp_path: Path, fields: str) -> None:
    names = fields.split()
    path = written(tmp_path / "x.json", [{"id": "u1", "text": "one", **dict.fromkeys(names, "two")}])
    message = refusal(path, path)
    assert all(repr(name) in message for name in names)


def test_texts_that_are_passed_over(tmp_path: Path) -> None:
    row = {"id": "u1", "text": "one two three", "Abschrift": "one too three", "gender": "male", "accent": "US English"}
    path = written(tmp_path / "x.jsonl", json.dumps(row))
    texts = read_texts(path)
    assert texts.unread == ("Abschrift",)
    assert "'Abschrift'" in texts.notes[-1]
    plain = written(tmp_path / "text", "u1 one two three\n")
    for reference in (path, plain):
        assert "'Abschrift'" in refusal(reference, path)  # it would be compared with itself
    assert errors(paired(written(plain, "u1 one two\n"), path)) == (1, 2)


def test_numbers_may_be_what_was_recognized(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", "id,text,result\nu1,five,5\n")
    assert "'result'" in refusal(path, path)
    path = written(tmp_path / "x.csv", "id,reference,hypothesis\nu1,5,5\nu2,7,1\n")
    assert errors(paired(path, path)) == (1, 2)


def test_a_row_may_lack_what_others_have(tmp_path: Path) -> None:
    rows = [{"id": "u1", "text": "one"}, {"id": "u2", "text": "two", "pred_text": "too"}]
    path = written(tmp_path / "x.json", rows)
    assert "pred_text" in refusal(path, path)


def test_a_file_compared_with_itself(tmp_path: Path) -> None:
    path = written(tmp_path / "text", "u1 one\nu2 two\n")
    assert paired(path, path).notes == [wording("is-compared-with-itself")]
    (tmp_path / "link").symlink_to(path)
    assert len(paired(path, tmp_path / "link").notes) == 1
    assert paired(path, written(tmp_path / "other", "u1 one\nu2 two\n")).notes == []
    path = written(tmp_path / "lines", "one\ntwo\n")
    assert pair(read_lines(path), read_lines(path)).notes == [wording("is-compared-with-itself")]


@pytest.mark.parametrize(("value", "text"), [(None, ""), (5, "5"), (float("nan"), "")])
def test_values_of_json_that_are_no_strings(tmp_path: Path, value: Any, text: str) -> None:
    rows = [{"id": "u1", "text": "one", "pred_text": value}, {"id": "u2", "text": "two", "pred_text": "two"}]
    path = written(tmp_path / "x.json", rows)
    assert paired(path, path).hypotheses == [text, "two"]
    assert any(note.startswith("1 texts are") for note in read_texts(path).notes)
    rows = [{"id": "u1", "text": value}, {"id": "u2", "text": "two"}]
    texts = read_texts(written(path, rows))
    assert texts.hypotheses == {"u1": text, "u2": "two"}
    assert texts.references == ({"u1": text, "u2": "two"} if text else {"u2": "two"})


def test_texts_that_are_nan_are_told(tmp_path: Path) -> None:
    texts = read_texts(written(tmp_path / "x.csv", "id,reference,hypothesis\nu1,one,nan\nu2,two,\n"))
    assert (texts.hypotheses, len(texts.notes)) == ({"u1": "nan", "u2": ""}, 2)


# Plain lines.


def in_order(folder: Path, reference: str, hypothesis: str, ending: str = "txt") -> Pairs:
    files = written(folder / f"ref.{ending}", reference), written(folder / f"hyp.{ending}", hypothesis)
    return pair(*(read_lines(path) for path in files))


@pytest.mark.parametrize(
    "ids",
    ["spk1_a spk1_b", "1272-128104-0000 1272-128104-0001", "clips/a.wav clips/b.wav", "u1| u2|", "1 2 3", "LJ1, LJ2,"],
)
def test_lines_that_begin_with_ids_are_refused(tmp_path: Path, ids: str) -> None:
    texts = [[f"{key} {text}" for key in ids.split()] for text in ("a b", "a c")]
    with pytest.raises(InputError, match="--lines"):
        in_order(tmp_path, *("\n".join(each) for each in texts))
    with pytest.raises(InputError, match="--lines"):
        in_order(tmp_path, "\n".join(texts[0]), "\n".join(reversed(texts[1])))
    found = in_order(tmp_path, "\n".join(texts[0]), "\n".join(text for _ in ids.split() for text in ["a b"]))
    assert len(found.notes) == 1  # only those of one file do


@pytest.mark.parametrize(
    ("reference", "hypothesis", "told"),
    [
        ("well-known a\nt-shirts b\n", "well-known a\nt-shirts c\n", 1),
        ("1 2 3\n4 5 6\n", "1 2 3\n4 5 7\n", 1),
        ("u1 a\n", "u1 b\n", 1),
        ("the a\ndog b\n", "the a\ndog c\n", 0),
        ("2001 a\n2001 b\n", "2001 a\n2001 c\n", 0),
    ],
)
def test_lines_that_may_begin_with_ids_are_told(tmp_path: Path, reference: str, hypothesis: str, told: int) -> None:
    found = in_order(tmp_path, reference, hypothesis)
    assert (errors(found)[0], len(found.notes)) == (1, told)


def test_lines_that_cannot_be_paired(tmp_path: Path) -> None:
    for reference, hypothesis in (("a\nb\nc\n", "a\nc\n"), ("a\nc\n", "a\nb\nc\n")):
        with pytest.raises(InputError):
            in_order(tmp_path, reference, hypothesis)
    assert errors(in_order(tmp_path, "a\nb\n", "a\nb\n\n\n")) == (0, 2)
    empty = written(tmp_path / "none.txt", "")
    assert errors(pair(read_lines(tmp_path / "ref.txt"), read_lines(empty, empty=True))) == (2, 2)


@pytest.mark.parametrize("name", ["text", "sentence", "Reference", "hypothesis", '"transcript"', "pred_str", "output"])
def test_a_table_of_one_column(tmp_path: Path, name: str) -> None:
    quoted = f'{name}\n"one, two"\n"say ""hi"""\n""\nfour\n'
    texts = read_lines(written(tmp_path / "x.csv", quoted))
    assert [*texts.references.items()] == [("1", "one, two"), ("2", 'say "hi"'), ("3", ""), ("4", "four")]
    assert len(texts.notes) == 1
    with pytest.raises(InputError, match="--lines"):
        read_texts(tmp_path / "x.csv")


def test_what_is_no_table_of_one_column(tmp_path: Path) -> None:
    lines = [*read_lines(written(tmp_path / "x.txt", 'text\n"a"\n')).references.values()]
    assert lines == ['"a"']
    for content in ("correct\nwrong\n", "text\na\ntext\n", "the result\nb\n"):
        assert read_lines(written(tmp_path / "x.txt", content)).references["1"] == content.split("\n")[0]
    assert [*read_lines(written(tmp_path / "y.csv", 'a, b\n"c"\n')).references.values()] == ["a, b", '"c"']
    assert len(read_lines(tmp_path / "y.csv").notes) == 1


def test_an_array_of_texts(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", ["one two", None, "[three"])
    assert [*read_lines(path).references.values()] == ["one two", "", "[three"]
    with pytest.raises(InputError, match="--lines"):
        read_texts(path)


# What other programs write.


def manifest(offsets: str, *, duration: str = "1.0") -> str:
    row = '{{"audio_filepath": "a.wav", "offset": {0}, "duration": {1}, "text": "{2}"}}\n'
    return "".join(row.format(offset, duration, f"word{i}") for i, offset in enumerate(offsets.split()))


def test_times_in_ids_are_numbers(tmp_path: Path) -> None:
    ours = written(tmp_path / "ref.json", manifest("0 1.5 3"))
    assert errors(paired(ours, written(tmp_path / "hyp.json", manifest("0.0 1.50 3.000")))) == (0, 3)
    tables = [f"path,start,end,text\na.wav,{x},1,one two\na.wav,{y},2,three\n" for x, y in ("01", ("0.0", "1.00"))]
    files = [written(tmp_path / f"{i}.csv", content) for i, content in enumerate(tables)]
    found = paired(*files)
    assert (errors(found), found.missing) == ((0, 3), [])


def test_leftovers_whose_paths_differ_are_not_paired(tmp_path: Path) -> None:
    files = written(tmp_path / "ref", "a/1.wav b\nd e\n"), written(tmp_path / "hyp", "c/1.wav b\nd e\n")
    assert (paired(*files).missing, paired(*files).extra) == (["a/1.wav"], ["c/1.wav"])


def test_names_of_recordings_in_any_case(tmp_path: Path) -> None:
    stm = "rec1 1 A 0.0 2.0 hello world\nrec2 1 A 0.0 2.0 one\n"
    ctm = "REC1 1 0.1 0.2 hello\nREC1 1 0.5 0.2 world\nrec2 1 0.1 0.2 one\n"
    found = paired(written(tmp_path / "ref.stm", stm), written(tmp_path / "hyp.ctm", ctm))
    assert (errors(found), len(found.notes)) == ((0, 3), 1)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["<o,f0,male> one", "two"], ["one", "two"]),
        (["<o> one", "<o,f0,male> two"], ["one", "two"]),
        (["<NA> one", "<na> two"], ["one", "two"]),
        (["<en> one", "<en> two"], ["one", "two"]),
        (["<unk> one", "<noise> two"], ["<unk> one", "<noise> two"]),
        (["<unk> one", "two"], ["<unk> one", "two"]),
        (["<unk> one"], ["<unk> one"]),
    ],
)
def test_labels_of_stm(tmp_path: Path, texts: list[str], expected: list[str]) -> None:
    lines = "".join(f"a 1 s {i}.0 {i}.9 {text}\n" for i, text in enumerate(texts))
    found = read_texts(written(tmp_path / "x.stm", lines))
    assert [piece.text for piece in found.pieces] == expected
    assert bool(found.notes) == any(mark in lines for mark in ("<en>", "<unk>"))


def test_words_with_times_in_a_table(tmp_path: Path) -> None:
    table = "id,start,end,word\nu1,1,2,world\nu1,0,1,hello\nu2,0,1,yes\n"
    words = written(tmp_path / "words.csv", table)
    assert read_texts(words).references == {"u1": "hello world", "u2": "yes"}
    assert errors(paired(written(tmp_path / "text", "u1 hello word\nu2 yes\n"), words)) == (1, 3)
    stm = written(tmp_path / "x.stm", "u1 1 s 0.0 1.0 hello\nu1 1 s 1.0 2.0 world\nu2 1 s 0.0 1.0 yes\n")
    assert errors(paired(stm, words)) == (0, 3)
    with pytest.raises(InputError):
        read_texts(written(words, "id,word\nu1,a\n"))


def test_segments_of_meetings(tmp_path: Path) -> None:
    def seglst(*words: str) -> list[dict[str, Any]]:
        times = [{"session_id": "m1", "start_time": i, "end_time": i + 1} for i in range(len(words))]
        return [
            {**time, "speaker": f"s{i}", "words": text} for i, (time, text) in enumerate(zip(times, words, strict=True))
        ]

    files = [written(tmp_path / f"{i}.json", seglst(*each)) for i, each in enumerate((("a b", "c d"), ("a b", "c x")))]
    found = paired(*files)
    assert (errors(found), found.speakers) == ((1, 4), ["s0", "s1"])
    assert errors(paired(written(tmp_path / "text", "m1 a b c\n"), files[0])) == (1, 3)


@pytest.mark.parametrize("name", ["{0}:\t", ""])
def test_recogs_of_icefall(tmp_path: Path, name: str) -> None:
    rows = [("u-1", "one two", "one too"), ("u-2", "it's", "")]
    lines = "".join(
        f"{name.format(key)}{kind}={text.split()}\n"
        for key, *both in rows
        for kind, text in zip(("ref", "hyp"), both, strict=True)
    )
    path = written(tmp_path / "recogs.txt", lines)
    found = paired(path, path)
    assert (found.references, found.hypotheses) == (["one two", "it's"], ["one too", ""])


@pytest.mark.parametrize("above", ["# made by hand\n# on a Monday\n\n", "# one, two\n", "#"])
def test_remarks_above_a_table(tmp_path: Path, above: str) -> None:
    texts = read_texts(written(tmp_path / "x.csv", f"{above}id,text\nu1,a # b\n#u2,c\n"))
    assert texts.references == {"u1": "a # b", "#u2": "c"}
    assert len(texts.notes) == 1 + (above != "#")
    with pytest.raises(InputError) as error:
        read_texts(written(tmp_path / "x.csv", "# a\nid,text\nu1\n"))
    assert ", line 3: " in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"u1": "one", "u2": 5},
        {"u1": "one", "u2": None},
        {"0": {"id": "u1", "text": "one"}, "1": {"id": "u2", "text": "5"}},
    ],
)
def test_objects_of_texts_by_id(tmp_path: Path, values: dict[str, Any]) -> None:
    assert [*read_texts(written(tmp_path / "x.json", values)).hypotheses] == ["u1", "u2"]


def test_rows_of_both_texts_need_no_ids(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", [{"prediction": "a b", "target": "a c"}, {"prediction": "d", "target": "d"}])
    assert (errors(paired(path, path)), paired(path, path).ids) == ((1, 3), ["1", "2"])


def test_a_text_with_commas_is_no_header(tmp_path: Path) -> None:
    texts = read_texts(written(tmp_path / "text", "u1 the result, the actual thing\nu2 whisper, and so\n"))
    assert texts.references == {"u1": "the result, the actual thing", "u2": "whisper, and so"}
