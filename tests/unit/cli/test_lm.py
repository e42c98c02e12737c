from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import speller
from typer.testing import CliRunner, Result
from wording import wording

from asr.cli import app
from asr.models.neural_lm import END, LmConfig, NeuralLm, save_neural_lm

# By hand: p(a) = 0.5, p(b) = 0.25, p(</s>) = 0.125, p(<unk>) = 0.01, whatever stands before.
ARPA = """\\data\\
ngram 1=5
ngram 2=1

\\1-grams:
-2 <unk>
-99 <s> 0
-0.30102999566 a 0
-0.60205999133 b
-0.90308998699 </s>

\\2-grams:
-0.60205999133 a b

\\end\\
"""


@pytest.fixture
def lm(tmp_path: Path) -> Path:
    (tmp_path / "lm.arpa").write_text(ARPA)
    return tmp_path / "lm.arpa"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["lm", *map(str, arguments)])


def perplexity(lm: Path, content: bytes) -> Result:
    (lm.parent / "text").write_bytes(content)
    return run("perplexity", lm, lm.parent / "text")


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress, lzma.compress])
def test_perplexity(lm: Path, pack, caplog: pytest.LogCaptureFixture) -> None:
    done = perplexity(lm, pack(b"a b\n\n  \nb x\n"))
    # bits: 1 + 2 + 3, and 2 + 3 with log2(100) for x: 11 bits of 5 known, 17.64 of 6
    assert done.output == ("perplexity 7.68 with 1 unknown words of 4 (25.00 %), 4.59 without them; 2 sentences\n")
    assert wording("text-2-lines-without-words") in caplog.text
    assert done.exit_code == 0


def test_perplexity_without_unknown_words(lm: Path) -> None:
    done = perplexity(lm, b"a a a\r\na\r\n")
    assert done.output == "perplexity 3.17 of 4 words, none unknown; 2 sentences\n"  # 10 bits of 6


def test_words_for_a_neural_model_of_tokens(tmp_path: Path) -> None:
    lm = tmp_path / "tokens.safetensors"
    save_neural_lm(NeuralLm([END, "a", "b"], LmConfig(hidden=4, layers=1)), lm)
    done = perplexity(lm, b"a b\nab\n")
    assert done.exit_code == 2
    assert wording("ab-is-none-of-its", lm) in done.stderr
    assert wording("unit-token") in done.stderr


@pytest.mark.parametrize(("text", "hint"), [(b"A a\n", False), (b"A B a\n", True)])
def test_a_hint_where_most_words_are_unknown(lm: Path, text: bytes, hint: bool) -> None:
    done = perplexity(lm, text)
    assert done.exit_code == 0
    assert (wording("upper-or-lower-case") in done.stderr) == hint
    assert ("'a', 'b'" in done.stderr) == hint
    assert done.stdout.startswith("perplexity")
    assert len(done.stdout.splitlines()) == 1


def test_standard_input(lm: Path, caplog: pytest.LogCaptureFixture) -> None:
    def given(data: bytes) -> Result:
        """`asr lm perplexity LM -` with these bytes on file descriptor 0, where the command looks for them."""
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            before = os.dup(0)
            os.dup2(file.fileno(), 0)
            try:
                return run("perplexity", lm, "-")
            finally:
                os.dup2(before, 0)
                os.close(before)

    for text in (b"a a a\na", gzip.compress(b"a a a\na\n")):
        done = given(text)
        assert done.stdout == "perplexity 3.17 of 4 words, none unknown; 2 sentences\n", done.stderr
    done = given(b"\n")
    assert done.exit_code == 2
    assert done.stderr == wording("asr-error-standard-input-holds")
    assert wording("standard-input-1-line-without") in caplog.text
    done = given(b"a\n\xff\n")
    assert done.exit_code == 2
    assert done.stderr.startswith(wording("asr-error-standard-input-line"))


def test_convert_there_and_back(lm: Path, tmp_path: Path) -> None:
    done = run("convert", lm, "--out", tmp_path / "lm.safetensors")
    assert done.exit_code == 0
    assert done.stderr == wording("asr-wrote-lm-safetensors-a", tmp_path)
    assert done.stdout == ""
    for name, opener in (("b.arpa", open), ("b.arpa.gz", gzip.open), ("b.arpa.xz", lzma.open)):
        assert run("convert", tmp_path / "lm.safetensors", "--out", tmp_path / name).exit_code == 0
        with opener(tmp_path / name, "rt") as f:
            assert f.read().startswith("\\data\\\nngram 1=5\nngram 2=1\n\n\\1-grams:\n-2.0\t<unk>\n")
        (tmp_path / "text").write_text("a b\n")
        assert "perplexity 4.00 of 2" in run("perplexity", tmp_path / name, tmp_path / "text").output


def test_names_that_do_not_say_what_to_write(lm: Path, tmp_path: Path) -> None:
    for name in ("lm.bin", "lm", "lm.gz"):
        done = run("convert", lm, "--out", tmp_path / name)
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        assert wording("the-name-does-not-say", name) in done.stderr
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("verb", ["perplexity", "convert"])
def test_errors_are_one_line(lm: Path, verb: str) -> None:
    lm.write_text(ARPA.replace("-0.60205999133 b", "0.6 b"))
    target = [lm.parent / "x.arpa"] if verb == "perplexity" else ["--out", lm.parent / "x.arpa"]
    done = run(verb, lm, *target)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr == wording("asr-error-line-9-the", lm)
    done = run(verb, lm.parent / "nowhere", *target)
    assert done.exit_code == 2
    assert done.stderr == wording("asr-error-nowhere-no-such", lm.parent)


def test_a_text_that_is_none(lm: Path) -> None:
    for content in (b"", b"\n \n"):
        done = perplexity(lm, content)
        assert done.exit_code == 2
        assert done.stderr.endswith(wording("text-holds-no-words"))
    assert run("perplexity", lm, lm.parent / "nowhere").exit_code == 2


def test_the_help_says_how_words_are_compared() -> None:
    assert "upper and lower case count" in " ".join(run("perplexity", "--help").output.split())
    done = run()
    assert "perplexity" in done.output
    assert "convert" in done.output


# Training, pruning, interpolation

TEXT = "one two three four\ntwo three\none one two\nthree four five\nfive\nfive two three one\n" * 3


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


def test_train(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "lm.arpa"
    done = run("train", text, "--out", out)
    assert done.exit_code == 0
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "asr: 51 words in 18 sentences, a vocabulary of 5"
    assert lines[-1].startswith(f"asr: wrote {out}: a model of order 3 with 8 1-grams, ")
    assert out.read_text().startswith("\\data\\\nngram 1=8\n")
    assert "none unknown" in run("perplexity", out, text).output
    assert [p.name for p in out.parent.iterdir()] == ["lm.arpa"]


@pytest.mark.parametrize("name", ["lm.safetensors", "lm.arpa.gz", "lm.arpa.xz"])
def test_train_of_several_packed_texts(text: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "b.xz").write_bytes(lzma.compress(b"\xef\xbb\xbfsix seven"))
    done = run("train", text, tmp_path / "a.gz", tmp_path / "b.xz", "--out", tmp_path / name, "--order", 2)
    assert wording("asr-104-words-in-37") in done.stderr
    assert run("perplexity", tmp_path / name, text).exit_code == 0


@pytest.mark.slow
def test_train_from_standard_input(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from asr.cli import main; main()", "lm", "train", "-"]
    command += ["--out", str(tmp_path / "lm.arpa")]
    done = subprocess.run(command, input=TEXT.encode(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stderr.decode().startswith(wording("asr-51-words-in-18"))


def test_vocabularies(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "lm.arpa"
    done = run("train", text, "--out", out, "--vocabulary", 2)
    assert wording("a-vocabulary-of-2-52") in done.stderr
    (tmp_path / "words").write_text("one\tW AH N\none\tW AO N\nten\tT EH N\ntwo\tT UW\nthree\nfour\nfive\n")
    done = run("train", text, "--out", out, "--vocabulary", tmp_path / "words")
    assert wording("a-vocabulary-of-6-0") in done.stderr
    assert "\tten\n" in out.read_text()
    (tmp_path / "words").write_text("ONE\nTWO\n")
    done = run("train", text, "--out", tmp_path / "x.arpa", "--vocabulary", tmp_path / "words")
    assert done.exit_code == 2
    assert done.stderr == (wording("asr-error-none-of-its", text))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["TEXT", "--out", "OUT.arpa", "--order", "0"], "order 0 is not from 1 to 10"),
        (["TEXT", "--out", "OUT.arpa", "--order", "11"], "order 11 is not from 1 to 10"),
        (["TEXT", "--out", "OUT.bin"], "the name does not say what to write"),
        (["TEXT", "--out", "FOLDER.arpa"], "is a folder"),
        (["TEXT", "nowhere", "--out", "OUT.arpa"], "nowhere: no such file"),
        (["EMPTY", "--out", "OUT.arpa"], "EMPTY: holds no words"),
        (["TEXT", "LATIN", "--out", "OUT.arpa"], "LATIN, line 2: 'caf\\\\xe9' is not UTF-8"),
        (["TEXT", "--out", "OUT.arpa", "--vocabulary", "nowhere"], "nowhere: no such file"),
        (["TEXT", "--out", "OUT.arpa", "--vocabulary", "EMPTY"], "EMPTY: has no word"),
        (["TEXT", "--out", "OUT.arpa", "--vocabulary", "0"], "vocabulary: 0 words are none"),
        (["TEXT", "--out", "OUT.arpa", "--cutoff", "0,x"], "cutoff: '0,x' are not numbers"),
        (["TEXT", "--out", "OUT.arpa", "--cutoff", "0,2,1"], "no order's may be lower"),
        (["TEXT", "--out", "OUT.arpa", "--prune", "0"], "prune: 0 is not above 0"),
        (["TEXT", "--out", "OUT.arpa", "--max-size", "20 bytes"], "max-size: '20 bytes' is not a size"),
        (["TEXT", "--out", "OUT.arpa", "--max-size", "10"], "the 8 words alone need"),
        (["TEXT", "--out", "OUT.arpa", "--model", "nowhere"], "nowhere: no such model"),
        (
            ["TEXT", "--out", "OUT.arpa", "--unit", "token"],
            "unit: tokens are those of a recogniser; name it by --model",
        ),
        (["TEXT", "--out", "OUT.arpa", "--unit", "phone"], "unit: 'phone' is not word or token"),
        (
            ["TEXT", "--out", "OUT.arpa", "--model", "digits-en", "--unit", "token", "--vocabulary", "9"],
            "means nothing for",
        ),
    ],
)
def test_train_with_bad_input(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    text.rename("TEXT")
    Path("EMPTY").write_text("\n")
    Path("LATIN").write_bytes(b"good\ncaf\xe9\n")
    Path("FOLDER.arpa").mkdir()
    done = run("train", *arguments)
    assert done.exit_code == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("asr: error: ")
    assert message in last
    assert not list(Path.cwd().glob("*OUT*"))


def test_texts_as_a_recogniser_writes_them(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("One, TWO!\nthree-four & ten\n")
    out = tmp_path / "lm.arpa"
    done = run("train", tmp_path / "text", "--out", out, "--model", "digits-en")
    assert wording("asr-texts-were-written-as") in done.stderr
    words = {line.split()[1] for line in out.read_text().split("-grams:")[1].splitlines() if "\t" in line}
    assert words == {"<unk>", "<s>", "</s>", "one", "two", "three-four", "ten"}
    assert "with 3 unknown" in run("perplexity", out, tmp_path / "text").output
    assert "none unknown" in run("perplexity", out, tmp_path / "text", "--model", "digits-en").output


def test_a_model_of_tokens(tmp_path: Path) -> None:
    from asr.models.folder import load_model

    (tmp_path / "text").write_text("One two\nqq two\n")
    out = tmp_path / "lm.arpa"
    done = run("train", tmp_path / "text", "--out", out, "--model", "digits-en", "--unit", "token")
    assert done.exit_code == 0
    assert wording("asr-2-characters-that-digits") in done.stderr
    words = {line.split()[1] for line in out.read_text().split("-grams:")[1].splitlines() if "\t" in line}
    assert words == {"<unk>", "<s>", "</s>", *load_model("digits-en").tokenizer.tokens[1:]}
    assert "\to n e\n" in out.read_text()
    assert "none unknown" in run("perplexity", out, tmp_path / "text", "--model", "digits-en", "--unit", "token").output


def test_recognisers_of_scripts_without_spaces(tmp_path: Path) -> None:
    """Their language models are over tokens; over words where the text's spaces are asked for."""
    from asr.models.folder import save_model

    model = speller()
    config = replace(model.config, text=replace(model.config.text, words="none"))
    save_model(tmp_path / "model", replace(model, config=config), "# card\n")
    (tmp_path / "text").write_text("cat act\ntack\n")
    for options, expected in (([], "c a t"), (["--unit", "word"], "<s> cat act")):
        done = run("train", tmp_path / "text", "--out", tmp_path / "lm.arpa", "--model", tmp_path / "model", *options)
        assert done.exit_code == 0, done.stderr
        assert f"\t{expected}\n" in (tmp_path / "lm.arpa").read_text()


def test_prune_and_sizes(text: Path, tmp_path: Path) -> None:
    run("train", text, "--out", tmp_path / "whole.arpa")
    done = run("prune", tmp_path / "whole.arpa", "--out", tmp_path / "lm.arpa", "--threshold", "0.001")
    assert done.exit_code == 0
    assert len((tmp_path / "lm.arpa").read_text()) < len((tmp_path / "whole.arpa").read_text())
    run("train", text, "--out", tmp_path / "same.arpa", "--prune", "0.001")
    assert (tmp_path / "same.arpa").read_text() == (tmp_path / "lm.arpa").read_text()
    for verb, source in (("prune", tmp_path / "whole.arpa"), ("train", text)):
        assert run(verb, source, "--out", tmp_path / "small.safetensors", "--max-size", "1.2 kB").exit_code == 0
        assert 1000 < (tmp_path / "small.safetensors").stat().st_size <= 1200
    done = run("prune", tmp_path / "whole.arpa", "--out", tmp_path / "lm.arpa")
    assert done.stderr == wording("asr-error-prune-how-far")


def test_interpolate(text: Path, tmp_path: Path) -> None:
    a, b, out, held_out = (tmp_path / name for name in ("a.arpa", "b.safetensors", "mixed.arpa", "held-out"))
    held_out.write_text("six two three\none six\nfour nine\n")
    (tmp_path / "other.txt").write_text("six seven\nsix one\none six\n")
    run("train", text, "--out", a)
    run("train", tmp_path / "other.txt", "--out", b)
    done = run("interpolate", a, b, "--out", out, "--text", held_out)
    assert done.exit_code == 0
    first, second, mixed = done.stdout.splitlines()
    assert first.startswith(f"{a}: weight 0.")
    assert second.startswith(f"{b}: weight 0.")
    weights = [float(line.split("weight ")[1].split(",")[0]) for line in (first, second)]
    assert sum(weights) == pytest.approx(1, abs=0.002)
    perplexities = [float(line.rsplit(" ", 1)[1]) for line in (first, second, mixed)]
    assert perplexities[2] < min(perplexities[:2])
    assert f"perplexity {perplexities[2]:.2f} with 1 unknown" in run("perplexity", out, held_out).output
    done = run("interpolate", a, b, "--out", out, "--weights", "3,1")
    assert done.stdout == f"{a}: weight 0.750\n{b}: weight 0.250\n"
    for arguments, message in (
        ([a, b, "--out", out], wording("give-text-or-weights")),
        ([a, "--out", out, "--text", held_out], wording("two-models-or-more")),
        ([a, b, "--out", tmp_path / "x", "--text", held_out], wording("the-name-does-not-say-2")),
        ([a, b, "--out", out, "--weights", "1,x"], wording("are-not-numbers")),
        ([a, b, "--out", out, "--text", tmp_path / "nowhere"], wording("nowhere-no-such-file")),
        ([a, b, "--out", a, "--weights", "1,1"], wording("a-arpa-is-read-and")),
        ([a, b, "--weights", "1,1"], "--out"),
    ):
        done = run("interpolate", *arguments)
        assert done.exit_code == 2
        assert message in done.stderr


def test_the_help_says_the_defaults() -> None:
    from asr.lm.kneser_ney import EstimateOptions

    shown = " ".join(run("train", "--help").output.split())
    assert f"1 to 10. Default: {EstimateOptions().order}." in shown
    assert f"Default: {EstimateOptions().cutoffs[0]}." in shown


def test_ctrl_c_leaves_nothing(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asr.lm import arpa

    def stop(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(arpa, "_arpa_lines", stop)
    (tmp_path / "out").mkdir()
    done = run("train", text, "--out", tmp_path / "out" / "lm.arpa")
    assert done.exit_code == 130
    assert not list((tmp_path / "out").iterdir())


def test_what_is_read_is_not_replaced(text: Path, tmp_path: Path) -> None:
    named = tmp_path / "text.arpa"
    named.write_bytes(text.read_bytes())
    done = run("train", named, "--out", named)
    assert done.exit_code == 2
    assert wording("is-read-and-would-be") in done.stderr
    assert named.read_bytes() == text.read_bytes()


def test_a_place_that_cannot_be_written_is_told_first(text: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("train", text, "--out", tmp_path / "file" / "lm.arpa")
    assert done.exit_code == 2
    assert wording("folder-cannot-be-made") in done.stderr
    assert "sentences" not in done.stderr  # nothing was read


def test_leftovers_of_a_killed_run_go(text: Path, tmp_path: Path) -> None:
    (tmp_path / ".lm.arpa.123.part").write_text("half")
    assert run("train", text, "--out", tmp_path / "lm.arpa").exit_code == 0
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_not_taken_for_words(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("привет мир\nмир вам\n".encode(encoding))
    done = run("train", tmp_path / "text", "--out", tmp_path / "lm.arpa")
    assert done.exit_code == 2
    assert wording("text-line-1-holds-nul") in done.stderr


def test_words_that_the_recogniser_cannot_hear_are_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("seven eight\nseven world\n")
    done = run("train", tmp_path / "text", "--out", tmp_path / "lm.arpa", "--model", "digits-en")
    assert done.exit_code == 0
    assert wording("asr-1-of-the-words") in done.stderr


def test_a_mixture_that_is_worse_than_one_of_its_models_says_so(text: Path, tmp_path: Path) -> None:
    """Of models with other words: what is shared out of <unk> spreads."""
    run("train", text, "--out", tmp_path / "all.arpa")
    run("train", text, "--out", tmp_path / "few.arpa", "--vocabulary", 1)
    done = run(
        *("interpolate", tmp_path / "all.arpa", tmp_path / "few.arpa", "--out", tmp_path / "mixed.arpa"),
        *("--text", text, "--weights", "0.1,0.9"),
    )
    assert done.exit_code == 0
    assert wording("make-them-with-the-same") in done.stderr
