"""The command as a user meets it: exit codes, one clear line, nothing heavy at start."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import WORDS, speechlike, spelled_cuts, speller, unigram_arpa
from typer.testing import CliRunner, Result
from wording import wording

from asr.cli import app

runner = CliRunner()


def asr(*arguments: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from asr.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **kwargs)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["transcribe", "--help"], ["train", "--help"], ["prepare", "--help"], ["--version"]]
)
def test_help_is_quick(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["asr", *{arguments!r}]
from asr.cli import main
try:
    main()
except SystemExit as e:
    assert not e.code, e.code
heavy = {{"torch", "numba", "lhotse", "numpy", "rich", "jiwer", "librosa"}} & set(sys.modules)
if len(sys.argv) == 2:  # a verb's words are read by Typer, in newer versions with pydantic
    heavy |= {{"pydantic"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_defaults_in_the_help_are_those_of_the_functions() -> None:
    """Those that are written there; the others are made of the fields and signatures themselves."""
    from asr.data.elan_writer import to_eaf
    from asr.evaluate.evaluation import evaluate
    from asr.evaluate.tuning.tune import tune
    from asr.inference.transcriber import Transcriber

    owners = {
        "evaluate": ([evaluate], {"batch-seconds", "num-workers"}),
        "transcribe": (
            [Transcriber, Transcriber.transcribe_all, to_eaf],
            {"batch-seconds", "precision", "tier", "device"},
        ),
        "tune": ([tune], {"batch-seconds", "num-workers", "device"}),
    }
    for verb, (functions, options) in owners.items():
        text = " ".join(runner.invoke(app, [verb, "--help"]).output.split())
        for option in options:
            (default,) = re.findall(rf"--{option} <[a-z]+>(?:(?! --).)*?Default: (-?[\w.]+?)[.,](?= |$)", text)
            (value,) = [
                inspect.signature(f).parameters[option.replace("-", "_")].default
                for f in functions
                if option.replace("-", "_") in inspect.signature(f).parameters
            ]
            assert default == (f"{value:g}" if isinstance(value, float) else str(value)), option


def test_the_table_of_options_is_made_of_their_fields() -> None:
    page = (Path(__file__).parents[3] / "docs" / "decoding.md").read_text(encoding="utf-8")
    assert options_table() in page


def options_table() -> str:
    """The table of docs/decoding.md."""
    from asr.cli.common import allowed, shown
    from asr.models.decoding_options import DecodingOptions
    from asr.utils.config import settings

    rows = ["| option | default | of | |", "| --- | --- | --- | --- |"]
    for each in settings(DecodingOptions):
        option = f"`--{each.name.replace('_', '-')}`"
        rows.append(f"| {option} | {shown(each.default)} | {allowed(each)} | {each.help} |")
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--epochs", "60", "--data", "d", "--out", "e"], "epochs=60"),
        (["check", "--batch-seconds=30", "--data", "d"], "batch_seconds=30"),
        (["lm", "train-neural", "--learning-rate", "0.1", "--data", "d", "--out", "e"], "learning_rate=0.1"),
        (["evaluate", "cuts.jsonl.gz", "beam_size=50", "--model", "digits-en"], "--beam-size 50"),
        (["transcribe", "beam_size=50", "--model", "digits-en"], "--beam-size 50"),
        (["evaluate", "digits-en", "cuts.jsonl.gz"], "--model"),
        (["tune", "digits-en", "cuts.jsonl.gz"], "--model"),
        (["pack", "digits-en", "small"], "--model"),
        (["check", "data/mine"], "--data"),
    ],
)
def test_words_and_options_that_stand_where_they_cannot(arguments: list[str], message: str) -> None:
    done = runner.invoke(app, arguments)
    assert done.exit_code == 2
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--plugin", "PLUGIN", "models"],
        ["models", "--plugin", "PLUGIN", "--json"],
        ["models", "--plugin=PLUGIN"],
        ["lm", "--plugin", "PLUGIN", "perplexity", "--help"],
    ],
)
def test_a_plugin_is_imported_wherever_it_is_named(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "mark_it.py").write_text("from pathlib import Path\nPath(__file__).with_suffix('.mark').touch()\n")
    (tmp_path / "other_one.py").write_text("from pathlib import Path\nPath(__file__).with_suffix('.mark').touch()\n")
    words = [word.replace("PLUGIN", str(tmp_path / "mark_it.py")) for word in arguments]
    code = "import sys; from asr.cli import main; main()"
    command = [sys.executable, "-c", code, *words, "--plugin", str(tmp_path / "other_one.py"), "--"]
    done = subprocess.run(
        [*command, *(["--plugin"] if "models" in words else [])], capture_output=True, text=True, check=False
    )
    assert {path.name for path in tmp_path.glob("*.mark")} == {"mark_it.mark", "other_one.mark"}, done.stderr
    assert ("--plugin: " in done.stderr) == ("models" in words)  # behind -- it is a folder's name


def test_a_plugin_that_is_not_there() -> None:
    assert "--plugin MODULE" in runner.invoke(app, ["--help"]).output
    done = runner.invoke(app, ["models", "--plugin", "no_such_module"])
    assert done.exit_code == 2
    assert "--plugin no_such_module" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transcribe", "nowhere.wav", "--model", "no-such-model"], wording("no-such-model")),
        (["evaluate", "cuts.jsonl.gz", "--model", "no-such-model"], wording("no-such-model")),
        (["prepare", "klingon", "--out", "d"], wording("no-corpus-klingon")),
        (["prepare", "yesno", "nowhere", "--out", "d"], wording("no-such-folder")),
        (["train", "nowhere.yaml", "--data", "d", "--out", "e"], wording("nowhere-yaml-no-such-file")),
        (["score", "nowhere.txt", "nowhere.txt"], wording("nowhere-txt-no-such-file")),
        (
            ["transcribe", "x.wav", "--model", "m", "--format", "docx"],
            wording("there-are-txt-json-srt"),
        ),
        (["transcribe", "x.wav", "--model", "m", "--format", "srt,vtt"], wording("several-formats-need-output-dir")),
        (["transcribe", ".", "--model", "digits-en"], wording("holds-no-audio-file")),
    ],
)
def test_one_clear_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())  # nothing half-written


def test_a_misspelt_setting_suggests_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model: {encoder: {dropuot: 0.1}}\n")
    result = runner.invoke(app, ["train", str(tmp_path / "c.yaml"), "--data", "d", "--out", str(tmp_path / "e")])
    assert result.exit_code == 2
    assert wording("did-you-mean-dropout") in result.stderr
    result = runner.invoke(
        app, ["train", str(tmp_path / "c.yaml"), "epoch=3", "--data", "d", "--out", str(tmp_path / "e")]
    )
    assert result.exit_code == 2


def test_a_traceback_only_when_asked(tmp_path: Path) -> None:
    arguments = ["score", str(tmp_path / "a"), str(tmp_path / "b")]
    assert "Traceback" not in runner.invoke(app, arguments).stderr
    assert "Traceback" in runner.invoke(app, ["--verbose", *arguments]).stderr


def test_a_fault_of_ours_is_exit_code_70(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("asr.evaluate.texts.read_texts", lambda path: 1 / 0)
    result = runner.invoke(app, ["score", "a", "b"])
    assert result.exit_code == 70
    assert wording("report-it") in result.stderr
    assert "Traceback" not in result.stderr


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asr.evaluate.texts.read_texts", interrupted)
    assert runner.invoke(app, ["score", "a", "b"]).exit_code == 130


def test_score_by_id_and_by_line(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("u1 a b c\nu2 d\n")
    (tmp_path / "hyp").write_text("u2 d\nu1 a x c\n")
    result = runner.invoke(app, ["score", str(tmp_path / "ref"), str(tmp_path / "hyp")])
    assert result.exit_code == 0
    assert "WER 25.00 % (1 of 4 words" in result.stdout
    result = runner.invoke(app, ["score", "--lines", str(tmp_path / "ref"), str(tmp_path / "hyp")])
    assert (result.exit_code, "--lines" in result.stderr) == (2, True)
    files = written(tmp_path, lines="a b c d\n", other="x b c d\n")
    result = runner.invoke(app, ["score", "--lines", "--json", *files])
    assert json.loads(result.stdout)["wer"]["rate"] == 0.25
    out = str(tmp_path / "report.html")
    assert runner.invoke(app, ["report", ":".join(files), "--out", out]).exit_code == 2
    assert runner.invoke(app, ["report", ":".join(files), "--out", out, "--lines"]).exit_code == 0


def written(folder: Path, **files: str) -> list[str]:
    for name, content in files.items():
        (folder / name).write_text(content)
    return [str(folder / name) for name in files]


def test_score_says_how_sure_it_is(tmp_path: Path) -> None:
    files = written(tmp_path, ref="u1 a b\nu2 ice-cream\n", hyp="u1 a x\nu2 ice cream\n")
    out = runner.invoke(app, ["score", *files]).stdout.splitlines()
    assert out[1] == "  95 % interval 50.00 to 200.00 %, over utterances (the speakers are not known)"
    assert out[2] == "  2 of 3 errors are spelling alone: hyphens 2"
    (facts,) = [json.loads(runner.invoke(app, ["score", *files, "--json"]).stdout)]
    assert (facts["interval"], facts["interval_over"]) == ([0.5, 2.0], "utterances")
    assert facts["spelling"]["hyphens"] == 2
    assert (facts["missing"], facts["extra"]) == ([], [])
    files = written(tmp_path, ref="u1 a b\nu2 c\n", hyp="u1 a b\nu3 c\n")
    facts = json.loads(runner.invoke(app, ["score", *files, "--json"]).stdout)
    assert (facts["missing"], facts["extra"]) == (["u2"], ["u3"])
    empty = written(tmp_path, ref="u1\nu2\n", hyp="u1 a\nu2\n", other="u1\nu2 b\n")
    done = runner.invoke(app, ["score", *empty])
    assert "WER cannot be told: the references are empty (1 of 0 words" in done.stdout
    assert json.loads(runner.invoke(app, ["score", *empty, "--json"]).stdout)["comparisons"] == []
    silent = written(tmp_path, ref="u1 a b\nu2 c\n", hyp="")
    done = runner.invoke(app, ["score", *silent])
    assert "WER 100.00 % (3 of 3 words: 0 substituted, 3 deleted" in done.stdout
    assert wording("2-references-have-no-hypothesis") in done.stderr
    speakers = "".join(f"u{i} voice{i}\n" for i in range(12))
    texts = "".join(f"u{i} a b c\n" for i in range(12))
    files = written(tmp_path, ref=texts, hyp=texts.replace("u3 a", "u3 x"), voices=speakers)
    assert "over speakers\n" in runner.invoke(app, ["score", *files[:2], "--speakers", files[2]]).stdout


def test_score_compares_several(tmp_path: Path) -> None:
    texts = [f"u{i} " + " ".join(f"w{i}{j}" for j in range(9)) for i in range(40)]
    worse = [text.replace("4 ", "x ") for text in texts]
    files = written(tmp_path, ref="\n".join(texts), old="\n".join(worse), new="\n".join(texts[:-1]))
    result = runner.invoke(app, ["score", *files])
    lines = result.stdout.splitlines()
    assert wording("new-1-references-have-no") in result.stderr
    assert lines[0].startswith("old: WER ")
    assert "new: WER 2.50 % (9 of 360 words: 0 substituted, 9 deleted, 0 inserted)" in result.stdout
    assert lines[-1].startswith("new is better than old by ")
    found = json.loads(runner.invoke(app, ["score", *files, "--json"]).stdout)
    assert [each["name"] for each in found["systems"]] == ["old", "new"]
    assert found["systems"][1]["wer"]["deletions"] == 9
    (comparison,) = found["comparisons"]
    assert comparison["systems"] == ["old", "new"]
    assert comparison["significant"]
    same = runner.invoke(app, ["score", files[0], files[1], files[1]]).stdout
    assert "old and old (2) are equally good: by 0.00 % absolute, 95 % interval 0.00 to 0.00; p = 1.0000" in same


def test_score_without_words_counts_characters(tmp_path: Path) -> None:
    files = written(tmp_path, ref="u1 今日は良い\n", hyp="u1 今日は悪い\n")
    assert runner.invoke(app, ["score", *files]).stdout.startswith("CER 20.00 % (1 of 5 characters")
    assert runner.invoke(app, ["score", *files, "--unit", "words"]).stdout.startswith("WER 100.00 %")
    result = runner.invoke(app, ["score", *files, "--unit", "lines"])
    assert (result.exit_code, wording("unit-lines-is-neither-words") in result.stderr) == (2, True)


def test_score_reads_files_as_what_they_are(tmp_path: Path) -> None:
    texts = {
        "csv": "id,text\nu1,{0}\nu2,good day\n",
        "tsv": "path\tsentence\nclips/u1.wav\t{0}\nclips/u2.wav\tgood day\n",
        "trn": ";; of the lab\n{0} (u1)\ngood day (u2)\n",
        "json": '{{"u1": "{0}", "u2": "good day"}}',
    }
    for kind, text in texts.items():
        files = [tmp_path / f"{side}.{kind}" for side in ("ref", "hyp")]
        for path, said in zip(files, ("hello big world", "hello world"), strict=True):
            path.write_text(text.format(said))
        for hypothesis in (files[1], tmp_path / "hyp.csv"):
            result = runner.invoke(app, ["score", str(files[0]), str(hypothesis), "--json"])
            assert json.loads(result.stdout)["wer"]["rate"] == 0.2, kind
        assert result.stderr.count("ref.") == (kind != "json")  # what was left out or interpreted is told
    result = runner.invoke(app, ["score", str(tmp_path / "ref.csv"), str(tmp_path / "ref.png")])
    assert result.exit_code == 2
    (tmp_path / "none.csv").write_text("a,b\n")
    result = runner.invoke(app, ["score", str(tmp_path / "ref.csv"), str(tmp_path / "none.csv")])
    assert (result.exit_code, "none.csv: " in result.stderr, result.stdout) == (2, True, "")


def test_score_compares_what_alternations_leave_alike(tmp_path: Path) -> None:
    files = written(tmp_path, ref="{ a / b } c (u-1)\nd (u-2)\n", one="u-1 a c\nu-2 d\n", two="u-1 b c\nu-2 x\n")
    found = json.loads(runner.invoke(app, ["score", *files, "--json"]).stdout)
    assert [system["wer"]["errors"] for system in found["systems"]] == [0, 1]
    assert found["comparisons"][0]["rates"] == [0.0, 1.0]


def test_speakers_are_the_same_when_people_see_them_so(tmp_path: Path) -> None:
    texts = "".join(f"u{i} a b c\n" for i in range(22))
    names = "".join(f"u{i} Jos{'e' + chr(0x301) if i < 11 else chr(0xE9)}{i % 11}\n" for i in range(22))
    files = written(tmp_path, ref=texts, hyp=texts.replace("u3 a", "u3 x"), voices=names)
    facts = json.loads(runner.invoke(app, ["score", *files[:2], "--speakers", files[2], "--json"]).stdout)
    assert facts["interval_over"] == "speakers"
    files = written(tmp_path, voices="".join(f"u{i} ann{chr(0xA0) * (i % 2)} {i % 9}\n" for i in range(22)))
    result = runner.invoke(app, ["score", str(tmp_path / "ref"), str(tmp_path / "hyp"), "--speakers", *files])
    assert "9 speakers" in result.stdout


def test_score_of_plain_lines_suggests_the_option(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("the cat sat\n")
    (tmp_path / "hyp").write_text("a cat sat\n")
    result = runner.invoke(app, ["score", str(tmp_path / "ref"), str(tmp_path / "hyp")])
    assert result.exit_code == 2
    assert "--lines" in result.stderr


def test_quickstart_touches_no_folder_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    result = runner.invoke(app, ["quickstart", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert wording("not-a-quickstart-s") in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no text")
def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    (tmp_path / name).write_bytes(b"")
    done = asr("prepare", "table", tmp_path / name, "--out", tmp_path / "d")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_unwritable_output_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    soundfile.write(tmp_path / "a.wav", speechlike(0.5, 8000), 8000)
    result = runner.invoke(
        app,
        ["transcribe", str(tmp_path / "a.wav"), "--model", "digits-en", "--output-dir", str(tmp_path / "file" / "out")],
    )
    assert result.exit_code == 2
    assert wording("cannot-be-made") in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes of a POSIX shell")
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("u1 a\n")
    command = f"{sys.executable} -c 'from asr.cli import main; main()' score {tmp_path}/ref {tmp_path}/ref | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------------ decoding options

TEXTS = ["cat act", "tack coat", "oak"]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model m, dev/ with recordings and cuts, a language model, a lexicon and hot words."""
    from asr.lm.files import read_ngram, save_ngram
    from asr.models.folder import save_model

    folder = tmp_path_factory.mktemp("spoken")
    save_model(folder / "m", speller(), "# card\n")
    spelled_cuts(folder / "dev", TEXTS, seed=100)
    save_ngram(read_ngram(unigram_arpa(folder / "lm.arpa", WORDS)), folder / "broken.safetensors")
    (folder / "broken.safetensors").write_bytes((folder / "broken.safetensors").read_bytes()[:-9])
    (folder / "lexicon.txt").write_text("".join(f"{word}\n" for word in WORDS))
    (folder / "hot.txt").write_text("tack coat\t30\noak\n")
    return folder


def decode(verb: str, folder: Path, *options: str, model: Path | None = None) -> Result:
    """`asr evaluate` of the cuts or `asr transcribe` of the first recording; options may name files of the folder."""
    made = [
        str(folder / word) if re.fullmatch(r"\w+\.\w+", word) and not word[0].isdigit() else word for word in options
    ]
    chosen = str(model or folder / "m")
    if verb == "evaluate":
        return runner.invoke(app, ["evaluate", str(folder / "dev" / "cuts.jsonl.gz"), "--model", chosen, *made])
    return runner.invoke(app, ["transcribe", str(folder / "dev" / "u000.wav"), "--no-vad", "--model", chosen, *made])


def evaluated(folder: Path, out: Path, *options: str, model: Path | None = None) -> tuple[dict, list[dict]]:
    done = decode("evaluate", folder, "--out", str(out), *options, model=model)
    assert done.exit_code == 0, done.output
    scores = json.loads((out / "scores.json").read_text())
    return scores, [json.loads(line) for line in (out / "hypotheses.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_results_of_another_model_are_not_replaced(spoken: Path, tmp_path: Path) -> None:
    evaluated(spoken, tmp_path / "out")
    evaluated(spoken, tmp_path / "out")  # the same again is no loss
    shutil.copytree(spoken / "m", tmp_path / "other")
    before = (tmp_path / "out" / "scores.json").read_bytes()
    done = decode("evaluate", spoken, "--out", str(tmp_path / "out"), model=tmp_path / "other")
    assert done.exit_code == 2
    assert wording("out-holds-results-of-m", spoken) in done.stderr
    assert (tmp_path / "out" / "scores.json").read_bytes() == before
    scores, _ = evaluated(spoken, tmp_path / "out", "--overwrite", model=tmp_path / "other")
    assert scores["model"] == "other"
    done = runner.invoke(app, ["evaluate", str(spoken / "dev"), "--model", str(spoken / "m")])
    assert done.exit_code == 2
    assert wording("dev-is-a-folder-name") in done.stderr


@pytest.mark.slow
def test_evaluate_says_what_it_decoded_with(spoken: Path, tmp_path: Path) -> None:
    from asr.models.decoding_options import DecodingOptions
    from asr.utils.config import to_dict

    scores, rows = evaluated(spoken, tmp_path)
    assert scores["decoding"] == {"search": "greedy"}
    assert not any("nbest" in row for row in rows)
    values = {
        "beam_size": 99,
        "nbest": 4,
        "lm_weight": 0.9,
        "word_score": -0.25,
        "unk_score": -11.5,
        "unk_letter_score": -0.75,
        "prior_weight": 0.125,
        "hotword_boost": 3.5,
        "temperature": 1.75,
        "beam_threshold": 80.0,
        "token_threshold": 40.0,
        "lm_unit": "word",
        "warps": [0.999, 1.001],
        "search": "ctc",
        "attention_beam": 7,
        "ctc_weight": 0.4,
        "length_reward": 0.5,
        "length_norm": 0.25,
        "end_factor": 2.0,
        "rescore_beam": 9,
        "rescore_weight": 0.25,
    }
    attention = ("search", "attention_beam", "ctc_weight", "length_reward", "length_norm", "end_factor")
    attention += ("rescore_beam", "rescore_weight")
    assert values.keys() | {"calibration"} == {field.name for field in fields(DecodingOptions)}  # tuning finds it
    assert not values.items() & to_dict(DecodingOptions()).items()
    options = [
        word for name, value in values.items() for word in ("--" + name.replace("_", "-"), str(value).strip("[]"))
    ]
    words = ["--lm", "lm.arpa", "--lexicon", "lexicon.txt", "--hotwords", "hot.txt"]
    scores, rows = evaluated(spoken, tmp_path, *options, *words)
    named = {"lm": "lm.arpa", "lexicon": "lexicon.txt", "hotwords": "hot.txt", "calibration": [1.0, 0.0]}
    assert scores["decoding"] == {**{k: v for k, v in values.items() if k not in attention}, **named, "search": "beam"}
    assert scores["wer"]["errors"] == 0
    for row, text in zip(rows, TEXTS, strict=True):
        assert (row["text"], row["nbest"][0]["text"]) == (text, text)
        assert len(row["nbest"]) == 4
        for each in row["nbest"]:
            parts = each["acoustic_score"] + each["lm_score"] + each["word_score"] + each["hotword_score"]
            assert each["score"] == pytest.approx(parts, abs=1e-3)
            assert each["word_score"] == pytest.approx(-0.25 * len(each["text"].split()))
        assert [each["score"] for each in row["nbest"]] == sorted((e["score"] for e in row["nbest"]), reverse=True)
    assert [row["nbest"][0]["hotword_score"] for row in rows] == [0.0, 30.0, 3.5]
    scores, _ = evaluated(spoken, tmp_path, "--greedy", *options, *words)
    assert scores["decoding"] == {"search": "greedy"}
    _, rows = evaluated(spoken, tmp_path, "--beam-threshold", "0", "--nbest", "2")
    assert [len(row["nbest"]) for row in rows] == [1, 1, 1]
    scores, _ = evaluated(spoken, tmp_path, "--beam-threshold", "inf", "--token-threshold", "inf")
    assert (scores["decoding"]["beam_threshold"], scores["decoding"]["token_threshold"]) == (None, None)


def test_a_folders_language_model_is_used_unasked(spoken: Path, tmp_path: Path) -> None:
    from asr.lm.files import read_ngram, save_ngram
    from asr.models.folder import save_model

    save_model(tmp_path / "m", speller(), "# card\n")
    save_ngram(read_ngram(spoken / "lm.arpa"), tmp_path / "m" / "lm.safetensors")
    scores, rows = evaluated(spoken, tmp_path / "out", model=tmp_path / "m")
    assert scores["decoding"]["lm"] == "lm.safetensors"
    greedy, greedy_rows = evaluated(spoken, tmp_path / "out", "--greedy", model=tmp_path / "m")
    assert scores["wer"]["errors"] < greedy["wer"]["errors"]
    assert rows[0]["text"] != greedy_rows[0]["text"]
    assert decode("transcribe", spoken, model=tmp_path / "m").stdout == rows[0]["text"] + "\n"
    assert decode("transcribe", spoken, "--greedy", model=tmp_path / "m").stdout == greedy_rows[0]["text"] + "\n"


def test_transcribe_writes_the_nbest_as_json(spoken: Path) -> None:
    several = ("--lexicon", "lexicon.txt", "--nbest", "3", "--format", "json")
    done = decode("transcribe", spoken, "--token-threshold", "40", "--beam-threshold", "80", *several)
    assert done.exit_code == 0, done.output
    transcript = json.loads(done.stdout)
    (segment,) = transcript["segments"]
    assert len(segment["nbest"]) == 3
    assert len({each["text"] for each in segment["nbest"]}) == 3
    assert segment["nbest"][0]["text"] == segment["text"] == transcript["text"]
    assert {word for each in segment["nbest"] for word in each["text"].split()} <= WORDS.keys()
    done = decode("transcribe", spoken, "--lexicon", "lexicon.txt", "--format", "json")
    assert "nbest" not in json.loads(done.stdout)["segments"][0]
    assert json.loads(done.stdout)["text"] == transcript["text"]
    done = decode("transcribe", spoken, "--beam-threshold", "0", *several)  # asked for, and there is but one
    found = json.loads(done.stdout)
    assert [each["text"] for each in found["segments"][0]["nbest"]] == [found["text"]]


@pytest.mark.parametrize("verb", ["evaluate", "transcribe"])
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--beam-size", "-1", "beam_size: -1 is "),
        ("--nbest", "0", "nbest: 0 is "),
        ("--lm-weight", "-1", "lm_weight: -1.0 is "),
        ("--word-score", "nan", "word_score: nan is "),
        ("--prior-weight", "inf", "prior_weight: inf is "),
        ("--temperature", "0", "temperature: 0.0 is "),
        ("--lm-unit", "letter", "lm_unit: 'letter' is "),
        ("--warps", "1,x", "warps: '1,x' are "),
        ("--calibration", "1", "calibration is "),
        ("--device", "tpu", "device: no device 'tpu'"),
        ("--lm", "nowhere.arpa", "nowhere.arpa: no such file"),
        ("--lm", "broken.arpa", "broken.arpa, line 2: "),
        ("--lm", "broken.safetensors", "broken.safetensors: "),
        ("--lexicon", "nowhere.txt", "nowhere.txt: no such file"),
        ("--lexicon", "broken.txt", "broken.txt, line 2: 'new york' is not one word; separate the word from its units"),
        ("--lexicon", "other.txt", "none of its 1 words can be said with the model's tokens: 'xyz' needs x y z; write"),
        ("--hotwords", "nowhere.txt", "nowhere.txt: no such file"),
        ("--hotwords", "boost.txt", "boost.txt, line 3: the boost 'high' is not a number"),
        ("--hotwords", "empty.txt", "empty.txt: has no phrase; a line is a phrase, or phrase<TAB>boost"),
    ],
)
def test_decoding_that_cannot_be_is_one_line(spoken: Path, verb: str, option: str, value: str, message: str) -> None:
    for name, content in (
        ("broken.arpa", "\\data\\\nngram 1=x\n"),
        ("broken.txt", "cat\nnew york\n"),
        ("other.txt", "xyz\n"),
        ("boost.txt", "cat\nact\t3\noak\thigh\n"),
        ("empty.txt", "\n"),
    ):
        (spoken / name).write_text(content)
    done = decode(verb, spoken, option, value)
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("asr: error: ")
    assert message in line


def test_models_are_listed_with_what_their_cards_say(tmp_path: Path) -> None:
    from asr.models.folder import save_model
    from asr.models.hub import available_models

    card = "# m\n\nA recogniser.\n\n- **Errors**: test: **WER 5 %** of\n  3 words. More.\n- Licence: CC0.\n\nUse it.\n"
    save_model(tmp_path / "exp" / "mine" / "model", speller(), card)
    done = runner.invoke(app, ["models", str(tmp_path / "exp"), "--json"])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["model"] for row in rows] == [*available_models(), str(tmp_path / "exp" / "mine" / "model")]
    assert rows[-1]["error"] == "test: WER 5 % of 3 words"
    assert rows[-1]["licence"] == "CC0."
    for row in rows[:-1]:
        assert row["language"]
        assert "WER" in row["error"]
        assert row["licence"]
        assert 0 < row["megabytes"] <= 20
    assert "english-small  (en, " in runner.invoke(app, ["models", str(tmp_path)]).stdout


def test_the_language_asked_for_must_be_the_models(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    for language, code in (("fr", 2), ("en-US", 0)):
        done = runner.invoke(
            app, ["transcribe", str(tmp_path / "a.wav"), "--model", "digits-en", "--language", language]
        )
        assert done.exit_code == code
    done = runner.invoke(app, ["transcribe", str(tmp_path / "a.wav"), "--model", "digits-en", "--format", "json"])
    assert json.loads(done.stdout)["language"] == "en"
