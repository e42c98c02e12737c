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
from asr.evaluate.tuning.rescoring import best_rescoring

from asr.data.cuts import read_cuts
from asr.data.transcript import Hypothesis
from asr.decode.rescoring import Rescoring
from asr.decode.search import beam_decoder
from asr.evaluate.wer import score
from asr.lm.arpa import write_arpa
from asr.lm.files import read_ngram
from asr.lm.ngram import Perplexity
from asr.models.decoding_options import DecodingOptions
from asr.models.folder import load_model
from asr.models.model import Model
from asr.models.neural_lm import read_neural_lm
from asr.utils.provenance import provenance

Lists = list[list[list[Hypothesis]]]  # of each warp, utterance: its best texts


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
    options = replace(model.head.decoding or DecodingOptions(), search="ctc", nbest=1)
    rescoring = Rescoring(model, args.neural, lambda: [], options, decoder=beam_decoder(model, options=options))
    unit = "words" if model.has_words else "characters"
    dev, references, _, _ = found(model, replace(options, nbest=args.beam), args.dev)
    weight, _, errors = best_rescoring(rescoring, dev, references, unit)
    print(f"on dev best: rescore_weight {weight:g}: {errors}\n", flush=True)
    _, _, alone, _ = found(model, options, args.test)
    test, references, several, seconds = found(model, replace(options, nbest=args.beam), args.test)
    started = time.perf_counter()
    sure = [[rescoring.log_probs(texts) for texts in warp] for warp in map(list, zip(*test, strict=True))]
    chosen = time.perf_counter() - started
    print(f"| language model | weight | error rate | search, of real time | choice, of real time ({args.beam} texts) |")
    print("| --- | --- | --- | --- | --- |")
    rows = (("n-gram", 0.0), ("neural, of the n-gram's texts", 1.0), ("both", weight))
    for name, each in rows:
        rescoring.options = replace(options, rescore_weight=each)
        best = [
            max((rescoring.chosen(*warp)[0] for warp in zip(*of, strict=True)), key=lambda h: h.score)
            for of in zip(zip(*test, strict=True), sure, strict=True)
        ]
        rate = score(references, [each.text for each in best], unit=unit).headline()
        search, choice = (several, f"{chosen / seconds:.3f}") if each else (alone, "–")
        print(f"| {name} | {each:g} | {rate} | {search / seconds:.3f} | {choice} |", flush=True)
    oracle = [min((t.text for w in of for t in w), key=lambda text, r=r: score([r], [text], unit=unit).error.errors)
              for r, of in zip(references, zip(*test, strict=True), strict=True)]  # fmt: skip
    print(f"\nThe best of all texts that were found: {score(references, oracle, unit=unit).headline()}.")


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


def found(model: Model, options: DecodingOptions, cuts: Path) -> tuple[Lists, list[str], float, float]:
    """What is found of each warp and utterance, what was said, the seconds of searching, those of audio."""
    decoder, recognizer = beam_decoder(model, options=options, threads=1), model.recognizer.eval()
    warps, utterances = options.warps or (1.0,), read_cuts(cuts)
    lists: Lists = [[] for _ in warps]
    taken = 0.0
    for n, utterance in enumerate(utterances):
        samples = torch.from_numpy(utterance.samples(recognizer.sample_rate))[None]
        for warp, of_warp in zip(warps, lists, strict=True):
            with torch.inference_mode():
                features, lens = recognizer.features(samples, torch.tensor([samples.shape[1]]))
                log_probs = recognizer.ctc(recognizer.encode(features, lens, warp=warp)[0])[0].numpy()
            if not n:  # what is compiled at the first call
                decoder.decode_each([log_probs], confidences=False)
            started = time.perf_counter()
            of_warp += decoder.decode_each([log_probs], confidences=False)
            taken += time.perf_counter() - started
    normalize = model.normalizer()
    return lists, [normalize(u.text) for u in utterances], taken, sum(u.duration for u in utterances)


if __name__ == "__main__":
    main()
