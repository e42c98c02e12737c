from __future__ import annotations

import gzip
import lzma
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from asr.cli import app

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
def test_perplexity(lm: Path, pack) -> None:
    done = perplexity(lm, pack(b"a b\n\n  \nb x\n"))
    # bits: 1 + 2 + 3, and 2 + 3 with log2(100) for x: 11 bits of 5 known, 17.64 of 6
    assert done.output == (
        "perplexity 7.68 with 1 unknown words of 4 (25.00 %), 4.59 without them; 2 sentences (2 empty lines skipped)\n"
    )
    assert done.exit_code == 0


def test_perplexity_without_unknown_words(lm: Path) -> None:
    done = perplexity(lm, b"a a a\r\na\r\n")
    assert done.output == "perplexity 3.17 of 4 words, none unknown; 2 sentences\n"  # 10 bits of 6


@pytest.mark.parametrize(("text", "hint"), [(b"A a\n", False), (b"A B a\n", True)])
def test_a_hint_where_most_words_are_unknown(lm: Path, text: bytes, hint: bool) -> None:
    done = perplexity(lm, text)
    assert done.exit_code == 0
    assert ("upper or lower case" in done.stderr) == hint
    assert ("'a', 'b'" in done.stderr) == hint
    assert done.stdout.startswith("perplexity")
    assert len(done.stdout.splitlines()) == 1


def test_standard_input(lm: Path) -> None:
    command = [sys.executable, "-c", "from asr.cli import main; main()", "lm", "perplexity", str(lm), "-"]
    for text in (b"a a a\na", gzip.compress(b"a a a\na\n")):
        done = subprocess.run(command, input=text, capture_output=True, timeout=60, check=False)
        assert done.stdout.decode() == "perplexity 3.17 of 4 words, none unknown; 2 sentences\n", done.stderr
    done = subprocess.run(command, input=b"\n", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, b"asr: error: standard input: holds no words\n")
    done = subprocess.run(command, input=b"a\n\xff\n", capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"asr: error: standard input, line 2: ")


def test_convert_there_and_back(lm: Path, tmp_path: Path) -> None:
    done = run("convert", lm, tmp_path / "lm.safetensors")
    assert done.exit_code == 0
    assert done.stderr == f"asr: wrote {tmp_path}/lm.safetensors: a model of order 2 with 5 1-grams, 1 2-grams\n"
    assert done.stdout == ""
    for name, opener in (("b.arpa", open), ("b.arpa.gz", gzip.open), ("b.arpa.xz", lzma.open)):
        assert run("convert", tmp_path / "lm.safetensors", tmp_path / name).exit_code == 0
        with opener(tmp_path / name, "rt") as f:
            assert f.read().startswith("\\data\\\nngram 1=5\nngram 2=1\n\n\\1-grams:\n-2.0\t<unk>\n")
        (tmp_path / "text").write_text("a b\n")
        assert "perplexity 4.00 of 2" in run("perplexity", tmp_path / name, tmp_path / "text").output


def test_names_that_do_not_say_what_to_write(lm: Path, tmp_path: Path) -> None:
    for name in ("lm.bin", "lm", "lm.gz"):
        done = run("convert", lm, tmp_path / name)
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        assert f"{name}: the name does not say what to write; let it end in .arpa, " in done.stderr
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("verb", ["perplexity", "convert"])
def test_errors_are_one_line(lm: Path, verb: str) -> None:
    lm.write_text(ARPA.replace("-0.60205999133 b", "0.6 b"))
    done = run(verb, lm, lm.parent / "x.arpa")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr == f"asr: error: {lm}, line 9: the log10 probability 0.6 is positive: none is above 1\n"
    done = run(verb, lm.parent / "nowhere", lm.parent / "x.arpa")
    assert done.exit_code == 2
    assert done.stderr == f"asr: error: {lm.parent}/nowhere: no such file\n"


def test_a_text_that_is_none(lm: Path) -> None:
    for content in (b"", b"\n \n"):
        done = perplexity(lm, content)
        assert done.exit_code == 2
        assert done.stderr.endswith("text: holds no words\n")
    assert run("perplexity", lm, lm.parent / "nowhere").exit_code == 2


def test_the_help_says_how_words_are_compared() -> None:
    assert "upper and lower case count" in " ".join(run("perplexity", "--help").output.split())
    done = run()
    assert "perplexity" in done.output
    assert "convert" in done.output
