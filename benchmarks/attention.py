#!/usr/bin/env python3
"""The attention decoder: what a step of its training costs, and what its searches cost and bring.

    python benchmarks/attention.py learning
    python benchmarks/attention.py searching MODEL --cuts CUTS

learning: teacher forcing and the way back, beside the usual way: the same weights in a loop over torch.nn's cells and
convolution, all gradients left to autograd. One thread, in turn.

searching: MODEL, trained with CTC and attention, over CUTS (from which nothing is chosen: tune on others), utterance by
utterance on one thread, ways in turn: CTC's search, its best texts chosen by both, and the joint search, with beams of
several sizes. Options are those of the model's folder, or of the run's tuned.yaml beside it. The joint search knows of
no lexicon; of phones it is left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import torch
import yaml
from torch import Tensor, nn

from asr.data.cuts import read_cuts
from asr.decode.search import build_search, encoder_output
from asr.evaluate.wer import score
from asr.models.attention_decoder import AttentionDecoder, AttentionDecoderConfig, DecoderState
from asr.models.decoder import with_end
from asr.models.decoding_options import DecodingOptions
from asr.models.folder import load_model
from asr.models.losses import label_smoothed_cross_entropy
from asr.utils.config import from_dict
from asr.utils.provenance import provenance

SHAPES = ((16, 80, 25), (4, 330, 165))  # utterances, frames, tokens: short commands; sentences of 13 s, as phones
ROUNDS = 5
WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("ctc", {"beam_size": beam}) for beam in (10, 100, 400)),
    *(("two-pass", {"attention_beam": n}) for n in (2, 5, 10, 30)),
    *(("attention", {"attention_beam": n}) for n in (1, 2, 5, 10, 20)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("learning")
    search = verbs.add_parser("searching")
    search.add_argument("model", metavar="MODEL")
    search.add_argument("--cuts", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    facts = provenance()
    print(f"one thread; {facts['hardware']}; commit {facts['commit']}; torch {torch.__version__}\n")
    if args.verb == "learning":
        learning()
    else:
        searching(args.model, args.cuts)


def learning() -> None:
    """A table of attentions and shapes."""
    print("| attention | utterances, frames, tokens | usual way, ms | kikitori, ms | ratio | greatest difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in ("location", "additive", "dot", "multi-head"):
        for b, t, u in SHAPES:
            torch.manual_seed(0)
            decoder = AttentionDecoder(384, 40, AttentionDecoderConfig(hidden=256, attention=kind, dropout=0.0))
            encoder_out = torch.randn(b, t, 384, requires_grad=True)
            given = encoder_out, torch.full((b,), t), torch.randint(1, 40, (b, u)), torch.full((b,), u)
            usual, ours, gradients = [], [], []
            for _ in range(ROUNDS):
                for taken, forced in ((usual, loop), (ours, AttentionDecoder.forward)):
                    taken.append(timed(decoder, given, forced))
                    gradients.append(encoder_out.grad)
                    encoder_out.grad = None
            ratio = statistics.median(a / b for a, b in zip(usual, ours, strict=True))
            apart = float((gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max())
            each = " | ".join(f"{1000 * statistics.median(taken):.0f}" for taken in (usual, ours))
            print(f"| {kind} | {b}, {t}, {u} | {each} | **{ratio:.2f}** | {apart:.0e} |", flush=True)


def timed(decoder: AttentionDecoder, given: tuple[Tensor, ...], forced: Callable[..., Tensor]) -> float:
    """Seconds of loss and gradients."""
    decoder.zero_grad()
    started = time.perf_counter()
    log_probs = forced(decoder, *given)
    label_smoothed_cross_entropy(log_probs, *with_end(*given[2:]), smoothing=0.1).sum.backward()
    return time.perf_counter() - started


def loop(decoder: AttentionDecoder, encoder_out: Tensor, lens: Tensor, tokens: Tensor, token_lens: Tensor) -> Tensor:
    """Teacher forcing as it is usually written."""
    memory, state = decoder.start(encoder_out, lens)
    begun = nn.functional.pad(tokens, (1, 0))
    embedded, said = decoder.embedding(begun), []
    (cell,) = decoder.cells
    hidden = (state.hidden[0, :, 0], state.cell[0, :, 0])
    for u in range(begun.shape[1]):
        hidden = cell(torch.cat([embedded[:, u], state.fed[:, 0]], dim=1), hidden)
        query = hidden[0][:, None]
        context, weights = decoder.attention(query, memory, state.weights)
        fed = torch.tanh(decoder.joined(torch.cat([query, context], dim=2)))
        said.append(fed[:, 0])
        state = DecoderState(state.hidden, state.cell, fed, weights)
    return decoder.output(torch.stack(said, dim=1)).log_softmax(2)


def searching(name: str, cuts: Path) -> None:
    """A table of ways."""
    model = load_model(name)
    beside = Path(name) / "tuned.yaml"
    tuned = yaml.safe_load(beside.read_text()) if beside.is_file() else {}
    own = model.head.decoding or DecodingOptions()
    options = {key: from_dict(DecodingOptions, values, where=beside) for key, values in tuned.items()}
    ways = {
        f"{search}, {' '.join(map(str, change.values()))}": build_search(
            model, **vars(replace(options.get(search, own), search=search, **change)), threads=1
        )
        for search, change in WAYS
        if search != "attention" or model.tokenizer.kind != "phones"
    }
    ways = {"greedy": build_search(model, greedy=True, threads=1)} | ways
    utterances, normalize = read_cuts(cuts), model.normalizer()
    recognizer = model.recognizer.eval()
    seconds = sum(u.duration for u in utterances)
    network, taken = 0.0, dict.fromkeys(ways, 0.0)
    texts: dict[str, list[str]] = {way: [] for way in ways}
    for n, utterance in enumerate(utterances):
        samples = torch.from_numpy(utterance.samples(recognizer.sample_rate))[None]
        with torch.inference_mode():
            started = time.perf_counter()
            features, lens = recognizer.features(samples, torch.tensor([samples.shape[1]]))
            encoder_out, lens = recognizer.encode(features, lens)
            log_probs = recognizer.ctc(encoder_out)
            network += time.perf_counter() - started
            out = encoder_output(log_probs, lens, encoder_out)
            for way, decoding in ways.items():
                if not n:  # what is compiled at the first call
                    decoding.search.nbest(out)
                started = time.perf_counter()
                texts[way].append(decoding.search.nbest(out)[0][0].text)
                taken[way] += time.perf_counter() - started
    references = [normalize(u.text) for u in utterances]
    print(f"{len(utterances)} utterances, {seconds:.0f} s; features and network: {network / seconds:.4f} of it\n")
    print("| search, beam | error rate | real-time factor of the search | in all |\n| --- | --- | --- | --- |")
    unit = "words" if model.has_words else "characters"
    for way, heard in texts.items():
        rate = score(references, heard, unit=unit).headline()
        search, whole = (value / seconds for value in (taken[way], taken[way] + network))
        print(f"| {way} | {rate} | {search:.4f} | {whole:.4f} |")


if __name__ == "__main__":
    main()
