#!/usr/bin/env python3
"""CTC beam search beside other software: the same posteriors, language model and beam, one thread each, in turn.

    python benchmarks/decoding.py --text TEXT [--model EXP/model --cuts cuts_dev.jsonl.gz] [--lm 3gram.arpa]

TEXT is upper-case English, a sentence a line, plain or packed. Posteriors are made from sentences of it that the word
3-gram is not built of: 29 symbols, 50 frames a second, a greedy CER of about 15 %. With --model and --cuts a second
part is of a model's posteriors for real speech. Each program's weights are the best of one grid on the first
utterances, for it alone; the others are measured. In each round every program decodes them all, one by one, from a
NumPy array to text; the tables give each program's median speed and the median over the rounds of its ratio to
flashlight's in the same round, which holds when the machine's speed drifts. Settings that are not named are each
program's defaults. Programs that are not installed are left out: pip install flashlight-text pyctcdecode
ctc-beam-decoder fast-ctc-decode ufal.kenlm, and kaldingram, which builds the 3-gram.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from decoding_material import Material, build_lm, real, sentences_of, synthetic

from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.ctc_vocabulary import LN10
from asr.decode.greedy import greedy_search
from asr.evaluate.wer import score
from asr.lm.files import read_ngram, save_ngram
from asr.utils.provenance import provenance

Decode = Callable[[np.ndarray], str]  # log-probabilities (T, V) -> text
Build = Callable[[float, float, float], Decode]  # LM weight, score of a word, of a word not in the LM -> decoder

# Weights tried, for natural logarithms.
LM_WEIGHTS = (0.5, 0.8, 1.1)
WORD_SCORES = (0.0, 2.0, 4.0)
UNK_SCORES = (-5.0, -10.0, -20.0)  # where any words may be heard
DEV = 30  # utterances that weights are tuned on
PEERS = {
    "flashlight.lib.text.decoder": "flashlight-text",
    "pyctcdecode": "pyctcdecode",
    "ctc_beam_decoder": "ctc-beam-decoder",
    "fast_ctc_decode": "fast-ctc-decode",
    "kenlm": "ufal.kenlm",
}


@dataclass
class Row:
    """A program in one setting."""

    name: str
    build: Build
    tuned: int  # how many of the weights
    prepare: Callable[[np.ndarray], np.ndarray] = lambda x: x  # what it takes, of log-probabilities
    weights: tuple[float, ...] = ()
    times: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


# Programs


def labels(m: Material) -> list[str]:
    """Tokens as the others write them: "" is blank."""
    return ["", *(" " if token == "<space>" else token for token in m.tokens[1:])]


def flashlight_lexicon(m: Material, arpa: Path, words: list[str], tokens_kept: int, threshold: float) -> Build:
    """flashlight's lexicon decoder, as its documentation sets it up.

    It ends a word only where a separator is heard: a frame that is one is put behind each utterance. Its language
    model weight is of log10.
    """
    from flashlight.lib.text import decoder as fl
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import create_word_dict

    ids, size = {token: i for i, token in enumerate(m.tokens)}, len(m.tokens)
    separator = ids["<space>"]
    dictionary = create_word_dict({word: [list(word)] for word in [*words, "<unk>"]})
    unknown = dictionary.get_index("<unk>")
    lm = KenLM(str(arpa), dictionary)
    trie, start = fl.Trie(size, separator), lm.start(False)
    for word in words:
        index = dictionary.get_index(word)
        trie.insert([*(ids[c] for c in word), separator], index, lm.score(start, index)[1])
    trie.smear(fl.SmearingMode.MAX)
    end = np.full((1, size), -50.0, np.float32)
    end[0, separator] = 0.0

    def build(lm_weight: float, word_score: float, unk_score: float) -> Decode:
        weights = {"lm_weight": lm_weight * LN10, "word_score": word_score, "unk_score": -math.inf, "sil_score": 0.0}
        beam = {"beam_size": 100, "beam_size_token": tokens_kept, "beam_threshold": threshold}
        options = fl.LexiconDecoderOptions(**beam, **weights, log_add=True, criterion_type=fl.CriterionType.CTC)
        decoder = fl.LexiconDecoder(options, trie, lm, separator, 0, unknown, [], False)

        def decode(x: np.ndarray) -> str:
            best = decoder.decode(x.ctypes.data, *x.shape)[0]
            return " ".join(dictionary.get_entry(i) for i in best.words if i >= 0)

        return lambda x: decode(np.concatenate([x, end]))

    return build


def flashlight_free(m: Material) -> Decode:
    """flashlight's decoder without lexicon or language model."""
    from flashlight.lib.text import decoder as fl

    beam = {"beam_size": 32, "beam_size_token": len(m.tokens), "beam_threshold": 50.0}
    weights = {"lm_weight": 0.0, "sil_score": 0.0}
    options = fl.LexiconFreeDecoderOptions(**beam, **weights, log_add=True, criterion_type=fl.CriterionType.CTC)
    decoder = fl.LexiconFreeDecoder(options, fl.ZeroLM(), m.tokens.index("<space>"), 0, [])
    letters = labels(m)

    def decode(x: np.ndarray) -> str:
        best = decoder.decode(x.ctypes.data, *x.shape)[0]
        return "".join(letters[i] for i, _ in itertools.groupby(best.tokens) if i > 0)

    return decode


def pyctcdecode(m: Material, arpa: Path, words: list[str]) -> Build:
    """Its score of unknown words is of log10, and weighted as the language model is."""
    import pyctcdecode as theirs

    decoder = theirs.build_ctcdecoder(labels(m), str(arpa), words)

    def build(lm_weight: float, word_score: float, unk_score: float) -> Decode:
        decoder.reset_params(alpha=lm_weight, beta=word_score, unk_score_offset=unk_score / (lm_weight * LN10))
        return lambda x: decoder.decode(x, beam_width=100)

    return build


def ctc_beam_decoder(m: Material, arpa: Path, words: list[str]) -> Build:
    """pyctcdecode's search in C++, with its conventions."""
    import ctc_beam_decoder as theirs

    def build(lm_weight: float, word_score: float, unk_score: float) -> Decode:
        weights = {"alpha": lm_weight, "beta": word_score, "unk_score_offset": unk_score / (lm_weight * LN10)}
        decoder = theirs.build_ctcdecoder(labels(m), arpa, words, **weights)
        return lambda x: decoder.decode(x, beam_width=100)

    return build


def kikitori(decoder: CtcBeamDecoder) -> Build:
    def build(lm_weight: float, word_score: float, unk_score: float) -> Decode:
        weighted = decoder.with_options(lm_weight=lm_weight, word_score=word_score, unk_score=unk_score)
        return lambda x: weighted.decode(x[None], [len(x)])[0][0].text

    return build


def constant(decode: Decode) -> Build:
    return lambda *weights: decode


def with_lexicon(m: Material, arpa: Path, have: set[str]) -> tuple[str, list[Row]]:
    lm, rows = read_ngram(arpa), []
    words = spelled(lm.words, m)
    if "flashlight-text" in have:
        full = flashlight_lexicon(m, arpa, words, len(m.tokens), 50.0)
        rows.append(Row("flashlight, all tokens, threshold 50", full, 2))
        rows.append(Row("flashlight, 10 tokens, threshold 25", flashlight_lexicon(m, arpa, words, 10, 25.0), 2))
    ours = CtcBeamDecoder(m.tokens, lm=lm, lexicon=words, threads=1)
    rows.append(Row("**kikitori**", kikitori(ours), 2))
    whole = ours.with_options(beam_threshold=math.inf, token_threshold=math.inf)
    rows.append(Row("**kikitori**, all tokens, no threshold", kikitori(whole), 2))
    return f"Lexicon of {len(words):,} words, word 3-gram, beam 100", rows


def any_words(m: Material, arpa: Path, have: set[str]) -> tuple[str, list[Row]]:
    lm, rows = read_ngram(arpa), []
    words = spelled(lm.words, m)
    if {"pyctcdecode", "ufal.kenlm"} <= have:
        rows.append(Row("pyctcdecode", pyctcdecode(m, arpa, words), 3))
    if "ctc-beam-decoder" in have:
        rows.append(Row("ctc-beam-decoder", ctc_beam_decoder(m, arpa, words), 3))
    rows.append(Row("**kikitori**", kikitori(CtcBeamDecoder(m.tokens, lm=lm, threads=1)), 3))
    return "Any words, word 3-gram, beam 100", rows


def without_lm(m: Material, have: set[str]) -> tuple[str, list[Row]]:
    rows = []
    if "flashlight-text" in have:
        rows.append(Row("flashlight, all tokens, threshold 50", constant(flashlight_free(m)), 0))
    if "pyctcdecode" in have:
        import pyctcdecode as theirs

        decoder = theirs.build_ctcdecoder(labels(m))
        rows.append(Row("pyctcdecode", constant(lambda x: decoder.decode(x, beam_width=32)), 0))
    if "fast-ctc-decode" in have:
        from fast_ctc_decode import beam_search

        letters = ["-", *labels(m)[1:]]
        fast = constant(lambda x: beam_search(x, letters, 32, 1e-3)[0])
        rows.append(Row("fast-ctc-decode, cut 0.001", fast, 0, prepare=np.exp))
    ours = CtcBeamDecoder(m.tokens, beam_size=32, threads=1)
    rows.append(Row("**kikitori**", kikitori(ours), 0))
    close = ours.with_options(token_threshold=-math.log(1e-3))
    rows.append(Row("**kikitori**, token threshold 6.9", kikitori(close), 0))
    return "No language model, beam 32", rows


def spelled(words: list[str], m: Material) -> list[str]:
    """Those of the language model's words that the tokens can say."""
    return [word for word in words if word not in ("<s>", "</s>", "<unk>") and set(word) <= set(m.tokens)]


# Measurements


def tune(row: Row, m: Material) -> Decode:
    """The program with the weights that are best on the first utterances."""
    if row.tuned == 0:
        return row.build(1.0, 0.0, 0.0)
    errors: dict[tuple[float, float, float], int] = {}
    for weights in itertools.product(LM_WEIGHTS, WORD_SCORES, UNK_SCORES if row.tuned == 3 else UNK_SCORES[:1]):
        decode = row.build(*weights)
        errors[weights] = score(m.texts[:DEV], [decode(x) for x in m.log_probs[:DEV]]).words.errors
    chosen = min(errors, key=errors.__getitem__)
    row.weights = chosen[: row.tuned]
    return row.build(*chosen)


def measure(m: Material, arpa: Path, have: set[str], rounds: int) -> None:
    """Prints the tables of one source of posteriors."""
    test, texts = m.log_probs[DEV:], m.texts[DEV:]
    frames = sum(map(len, test))
    greedy = [greedy_search(torch.from_numpy(x)[None], torch.tensor([len(x)]), m.tokens, frame_seconds=1) for x in test]
    print(f"\n## Posteriors: {m.name}\n")
    seconds = frames * m.frame_seconds
    print(f"{len(test)} utterances, {seconds:.0f} s, {frames:,} frames, {len(m.tokens)} symbols; greedy:")
    print(score(texts, [hypotheses[0].text for hypotheses in greedy]))
    groups = [with_lexicon(m, arpa, have), any_words(m, arpa, have), without_lm(m, have)]
    every = [row for _, rows in groups for row in rows]
    programs = [(row, tune(row, m), [row.prepare(x) for x in test]) for row in every]
    for _, decode, inputs in programs:  # warm
        decode(inputs[0])
    for _ in range(rounds):
        for row, decode, inputs in programs:
            started = time.perf_counter()
            row.texts = [decode(x) for x in inputs]
            row.times.append(time.perf_counter() - started)
    for title, rows in groups:
        base = next((row for row in [*rows, *every] if row.name.startswith("flashlight")), None)
        print(f"\n### {title}\n\n| program | WER | CER | frames/s | ratio | weights |")
        print("| --- | --- | --- | --- | --- | --- |")
        for row in rows:
            result = score(texts, [" ".join(text.split()) for text in row.texts])
            rates = f"{100 * result.words.rate:.2f} | {100 * result.characters.rate:.2f}"
            ratios = [b / t for b, t in zip(base.times, row.times, strict=True)] if base else [math.nan]
            speed = f"{frames / statistics.median(row.times):,.0f} | {statistics.median(ratios):.2f}"
            print(f"| {row.name} | {rates} | {speed} | {' '.join(f'{w:g}' for w in row.weights)} |")


STARTING = """
import sys, numpy as np
from asr.decode.ctc_beam import CtcBeamDecoder
x = np.load(sys.argv[2])
CtcBeamDecoder(sys.argv[3].split(), lm=sys.argv[1], threads=1).decode(x[None], [len(x)])
"""


def starting(m: Material, arpa: Path, rounds: int) -> None:
    """Prints how long a new process takes to its first text, and a batch with one and two threads."""
    lm, taken = read_ngram(arpa), []
    with tempfile.TemporaryDirectory() as folder:
        binary, array = Path(folder, "lm"), Path(folder, "x.npy")
        save_ngram(lm, binary)
        np.save(array, m.log_probs[0])
        usual = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        for _ in range(1 + rounds):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", STARTING, binary, array, " ".join(m.tokens)], check=True, env=usual)
            taken.append(time.perf_counter() - started)
    median = statistics.median(taken[1:])
    print(f"\nkikitori, a new process from its start to the first text (any words, 3-gram, binary): {median:.2f} s.")

    batch = m.log_probs[DEV : DEV + 32]
    lens = [len(x) for x in batch]
    padded = np.stack([np.pad(x, ((0, max(lens) - len(x)), (0, 0))) for x in batch])
    options = {"lm": lm, "lexicon": spelled(lm.words, m)}
    decoders = {n: CtcBeamDecoder(m.tokens, **options, threads=n) for n in (1, 2)}
    spent: dict[int, list[float]] = {n: [] for n in decoders}
    for _ in range(1 + rounds):
        for n, decoder in decoders.items():
            started = time.perf_counter()
            decoder.decode(padded, lens)
            spent[n].append(time.perf_counter() - started)
    one, two = (statistics.median(spent[n][1:]) for n in decoders)
    print(f"{len(batch)} utterances in a batch (lexicon, 3-gram): 1 thread {one:.2f} s, 2 threads {two:.2f} s.")


def installed() -> set[str]:
    """The peers that can be imported; what is left out is printed."""
    have = set()
    for module, name in PEERS.items():
        try:
            importlib.import_module(module)
            have.add(name)
        except (ImportError, OSError) as error:
            print(f"left out: {name} ({error})")
    return have


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True, help="upper-case English, a sentence a line; .gz, .xz too")
    parser.add_argument("--lm", type=Path, help="an ARPA file, instead of a 3-gram of the text")
    parser.add_argument("--lm-sentences", type=int, default=200_000)
    parser.add_argument("--model", type=Path, help="a model's folder, with --cuts")
    parser.add_argument("--cuts", type=Path, help="a manifest of speech for --model")
    parser.add_argument("--utterances", type=int, default=100, help=f"of each source; {DEV} of them to tune weights")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.utterances <= DEV:
        parser.error(f"--utterances: more than {DEV}")
    if bool(args.model) != bool(args.cuts):
        parser.error("--model and --cuts go together")
    torch.set_num_threads(1)
    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)
    have = installed()
    sentences, others = sentences_of(args.text, args.utterances, args.lm_sentences, args.seed)
    arpa = args.lm or build_lm(others)
    sources = [synthetic(sentences, args.seed)]
    if args.model:
        sources.append(real(args.model, args.cuts, args.utterances, args.seed))
    for source in sources:
        measure(source, arpa, have, args.rounds)
    print("\nRatio: to flashlight's in the same round, the median; where a table has none, to the first of the first.")
    print(f"Weights: of the language model (tried: {LM_WEIGHTS}), a word {WORD_SCORES}, an unknown word {UNK_SCORES}.")
    starting(sources[0], arpa, args.rounds)
    facts = provenance()
    versions = ", ".join(f"{name} {version(name)}" for name in sorted(have))
    print(f"{facts['hardware']}; commit {facts['commit']}; {versions}\n{facts}")


if __name__ == "__main__":
    main()
