#!/usr/bin/env python3
"""What a neural language model brings beside an n-gram: perplexity, errors, time.

    python benchmarks/rescoring.py MODEL NEURAL --ngram LM --dev CUTS --test CUTS [--beam 50]

The texts that CTC's search finds with MODEL's own language model and options are chosen anew with NEURAL. How much it
counts is found on dev; of test: the search's own choice, NEURAL in the place of the n-gram, both. One thread, utterance
by utterance; a text is scored once, whatever warp of the mel axis it was found with.

Perplexities are of test's texts: NEURAL's; and those of the n-gram in the file LM, a model of the same text and the
same words, as we and as KenLM count it. pip install ufal.kenlm
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import kenlm
import torch

from asr.data.cuts import read_cuts
from asr.decode.rescoring import Rescoring
from asr.decode.search import EncoderOutput, Search, beam_decoder, best_of_warps, encoder_output
from asr.evaluate.tuning.tune import RESCORE_WEIGHTS
from asr.evaluate.wer import Scores, Unit, score
from asr.lm.arpa import write_arpa
from asr.lm.files import read_ngram
from asr.lm.ngram import Perplexity
from asr.models.decoding_options import DecodingOptions
from asr.models.folder import load_model
from asr.models.model import Model
from asr.models.neural_lm import read_neural_lm
from asr.utils.provenance import provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("neural", metavar="NEURAL", type=Path)
    parser.add_argument("--ngram", metavar="LM", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--beam", type=int, default=50, help="texts that are chosen among")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    facts = provenance()
    versions = f"torch {torch.__version__}, ufal.kenlm {version('ufal.kenlm')}"
    print(f"one thread; {facts['hardware']}; commit {facts['commit']}; {versions}\n")
    model = load_model(args.model)
    perplexities(args.neural, args.ngram, [model.normalizer()(u.text) for u in read_cuts(args.test)])
    options = replace(model.head.decoding or DecodingOptions(), search="ctc", nbest=1, rescore_beam=args.beam)
    decoder = beam_decoder(model, options=options, threads=1)
    rescoring = Rescoring(model, args.neural, decoder, options)
    unit: Unit = "words" if model.has_words else "characters"
    outs, references, _ = said(model, options, args.dev)
    knowing = rescoring.knowing(out for of in outs for out in of)
    dev = {
        weight: errors(knowing.with_options(rescore_weight=weight), outs, references, unit)
        for weight in RESCORE_WEIGHTS
    }
    weight = min(dev, key=lambda each: dev[each].error.errors)
    print(f"on dev best: rescore_weight {weight:g}: {dev[weight]}\n", flush=True)
    outs, references, seconds = said(model, options, args.test)
    alone, several = (searching(each, outs) for each in (decoder, rescoring.search))
    texts = [[rescoring.search.nbest(out)[0] for out in of] for of in outs]
    started = time.perf_counter()
    for of in texts:
        for each in of:
            rescoring.of_texts(each)
    chosen = time.perf_counter() - started
    knowing = rescoring.knowing(out for of in outs for out in of)
    print(f"| language model | weight | error rate | search, of real time | choice, of real time ({args.beam} texts) |")
    print("| --- | --- | --- | --- | --- |")
    rows = (("n-gram", 0.0), ("neural, of the n-gram's texts", 1.0), ("both", weight))
    for name, each in rows:
        rate = errors(knowing.with_options(rescore_weight=each), outs, references, unit).headline()
        search, choice = (several, f"{chosen / seconds:.3f}") if each else (alone, "–")
        print(f"| {name} | {each:g} | {rate} | {search / seconds:.3f} | {choice} |", flush=True)
    every = [[t.text for each in of for t in each] for of in texts]
    oracle = [
        min(of, key=lambda text, r=r: score([r], [text], unit=unit).error.errors)
        for r, of in zip(references, every, strict=True)
    ]
    print(f"\nThe best of all texts that were found: {score(references, oracle, unit=unit).headline()}.")


def errors(search: Search, outs: list[list[EncoderOutput]], references: list[str], unit: Unit) -> Scores:
    """Of what a search finds of each utterance, with the warp of the best score."""
    texts = [best_of_warps(search, of)[1][0][0].text for of in outs]
    return score(references, texts, unit=unit)


def searching(search: Search, outs: list[list[EncoderOutput]]) -> float:
    """The seconds it takes."""
    search.nbest(outs[0][0])  # what is compiled at the first call
    started = time.perf_counter()
    for of in outs:
        for out in of:
            search.nbest(out)
    return time.perf_counter() - started


def perplexities(neural: Path, ngram: Path, texts: list[str]) -> None:
    """A table."""
    lm, counts = read_neural_lm(neural), read_ngram(ngram)
    print("| language model | perplexity | of known words and ends |\n| --- | --- | --- |")
    row(f"{counts.order}-gram", counts.perplexity(texts))
    with tempfile.TemporaryDirectory() as folder:
        write_arpa(counts, Path(folder) / "lm.arpa")
        config = kenlm.Config()
        config.show_progress = False
        model = kenlm.Model(str(Path(folder) / "lm.arpa"), config)
    scores = [each for text in texts for each in model.full_scores(text)]
    known = [log10 for log10, _, unknown in scores if not unknown]
    whole = 10 ** (-sum(log10 for log10, _, _ in scores) / len(scores))
    print(f"| {counts.order}-gram, read and counted by KenLM | {whole:.1f} | {10 ** (-sum(known) / len(known)):.1f} |")
    row(lm.config.kind, found := lm.perplexity(texts))
    print(f"\n{found.words:,} words, {found.unknown} of them unknown.\n", flush=True)


def row(name: str, found: Perplexity) -> None:
    print(f"| {name} | {found.perplexity:.1f} | {found.perplexity_known:.1f} |", flush=True)


def said(model: Model, options: DecodingOptions, cuts: Path) -> tuple[list[list[EncoderOutput]], list[str], float]:
    """What the network says of each utterance with each warp, what was said, and the seconds of audio."""
    recognizer, normalize, utterances = model.recognizer.eval(), model.normalizer(), read_cuts(cuts)
    outs: list[list[EncoderOutput]] = []
    for utterance in utterances:
        samples = torch.from_numpy(utterance.samples(recognizer.sample_rate))[None]
        with torch.inference_mode():
            features, lens = recognizer.features(samples, torch.tensor([samples.shape[1]]))
            warped = [recognizer.encode(features, lens, warp=warp) for warp in options.warps or (1.0,)]
            outs.append([encoder_output(recognizer.ctc(states), lens, None) for states, lens in warped])
    return outs, [normalize(u.text) for u in utterances], sum(u.duration for u in utterances)


if __name__ == "__main__":
    main()
