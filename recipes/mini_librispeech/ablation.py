#!/usr/bin/env python3
"""What each part of the recipe is worth on dev: one change at a time, one seed, a smaller network.

    python recipes/mini_librispeech/ablation.py [CHANGE ...]    # trains, tunes and scores those named, or all
    python recipes/mini_librispeech/ablation.py --publish       # writes ablation.json, and the README's table

What is there is left out, and training goes on where it was. Two can run side by side, each with its own changes.
"""

from __future__ import annotations

import argparse
import json
import math
import runpy
import shutil
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.train.recipe import run, told_plainly
from asr.utils.files import read_text, write_json, write_text

if TYPE_CHECKING:
    from asr.models.decoding_options import DecodingOptions

HERE = Path(__file__).resolve().parent
EXP, KEPT, README = HERE / "exp" / "ablation", HERE / "ablation.json", HERE / "README.md"
BEGIN, END = "<!-- ablation -->", "<!-- /ablation -->"
SHORT = ("model.encoder.hidden=192", "model.encoder.layers=3", "epochs=10", "model.criterion.warm_up_epochs=3")
BASE = "as it is"
ORDER = 4  # of its language model
AGAIN = "as it is, on another machine"  # what chance is worth; the characters below are this network's
CTC = "CTC instead of CTC-CRF"
# Settings of a training. All are decoded with the options that are best for the recipe as it is; CTC has its own.
TRAINED: dict[str, tuple[str, ...]] = {
    BASE: (),
    AGAIN: (),
    CTC: ("model.criterion.kind=ctc",),
    "no CTC within": ("model.intermediate.layer=0",),
    "no characters beside the phones": ("model.heads=[phones]", "model.head_weights=[1]"),
    "first pronunciations alone": ("model.tokenizer.pronunciations=first",),
    "one speed": ("augment.speed=[1.0]",),
    "no warping of the mel axis": ("spec_augment.frequency_warp=0",),
    "no masks": ("spec_augment.frequency_masks=0", "spec_augment.time_masks_per_second=0"),
    "normalised by speaker": ("model.features.normalize=speaker",),
}
# Of the network as it is: the head that is used, settings of the TextModel, options that are changed. Characters have
# their own.
SEARCHED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "five warps in decoding": ("phones", {}, {"warps": (0.88, 0.94, 1.0, 1.06, 1.12)}),
    "no prior": ("phones", {}, {"prior_weight": 0.0}),
    "3-gram": ("phones", {"order": 3}, {}),
    "2-gram": ("phones", {"order": 2}, {}),
    "10,000 words": ("phones", {"words": 10_000}, {}),
    "4-gram and words of the training texts": ("phones", {"texts": ()}, {}),
    "characters, 60,000 words": ("characters", {"closed": True}, {}),
    "characters, any word": ("characters", {}, {}),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("changes", nargs="*", metavar="CHANGE", help="; ".join([*TRAINED, *SEARCHED]))
    parser.add_argument("--publish", action="store_true", help="collect what is there")
    args = parser.parse_args(arguments)
    if unknown := set(args.changes) - TRAINED.keys() - SEARCHED.keys():
        parser.error(f"no such change: {'; '.join(sorted(unknown))}")
    with told_plainly():
        if args.publish:
            publish()
            return
        for name in args.changes or [*TRAINED, *SEARCHED]:
            if not (folder(name) / "results.json").is_file():
                print(f"== {name}", flush=True)
                measure(name)


def folder(name: str) -> Path:
    """Of a change."""
    return EXP / "".join(c if c.isalnum() else "-" for c in name.lower())


def measure(name: str) -> None:
    """Trains with a change, or decodes with it what was trained without; scores on dev."""
    recipe = runpy.run_path(str(HERE / "run.py"))
    out, settings = folder(name), list(SHORT)
    text: dict[str, Any] = {"warps": ()}  # slow, and the same for each
    if name in TRAINED:
        settings += TRAINED[name]
        if name not in (BASE, AGAIN, CTC):
            text["options"] = best_options()
    else:
        head, more, options = SEARCHED[name]
        text |= more
        if head == "phones":
            text["options"] = replace(best_options(), **options)
        if not (out / "model").is_dir():
            untuned(folder(BASE), out, head)
    words = replace(recipe["WORDS"], **text)
    run(recipe["prepare"], HERE / "conf" / "blstm.yaml", HERE / "data", out, words, ("dev",), settings=settings)


def best_options() -> DecodingOptions:
    """Those of the recipe as it is."""
    from asr.models.decoding_options import DecodingOptions

    path = folder(BASE) / "results.json"
    kept = json.loads(read_text(path if path.is_file() else KEPT))
    scores = (kept if path.is_file() else kept[BASE])["scores"]
    found = scores[f"dev-{ORDER}-gram"]["decoding"]
    known = {f.name: found[f.name] for f in fields(DecodingOptions) if f.name in found and f.name != "search"}
    lists = {key: tuple(value) for key, value in known.items() if isinstance(value, list)}
    return DecodingOptions(**{key: math.inf if value is None else value for key, value in known.items()} | lists)


def untuned(trained: Path, out: Path, kind: str) -> None:
    """Makes a run of a finished one: with one head and no language model."""
    from asr.models.config import IntermediateConfig
    from asr.models.folder import load_model, save_model
    from asr.models.model import Head, Model
    from asr.models.recognizer import build_recognizer

    model = load_model(trained, head=kind)
    config = replace(model.config, heads=(kind,), head_weights=(), intermediate=IntermediateConfig())
    recognizer = build_recognizer(config, {kind: len(model.tokenizer)})
    state = model.recognizer.state_dict()
    recognizer.load_state_dict({name: state[name] for name in recognizer.state_dict()})
    head = Head(model.tokenizer, token_lm=model.head.token_lm, log_prior=model.head.log_prior)
    kept = Model(recognizer, config, {kind: head}, trained_on=model.trained_on)
    for name in ("config.yaml", "log.jsonl"):
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trained / name, out / name)
    save_model(out / "model", kept, read_text(trained / "model" / "README.md"))


def publish() -> None:
    """Writes ablation.json, of all changes that were measured, here or before, and the table in the README."""
    kept = json.loads(read_text(KEPT)) if KEPT.is_file() else {}
    for name in [*TRAINED, *SEARCHED]:
        if (folder(name) / "results.json").is_file():
            found = json.loads(read_text(folder(name) / "results.json"))
            scores = found["scores"]
            for score in scores.values():
                del score["speakers"]
            trained = {key: found["trained"][key] for key in ("command", "commit", "hardware", "threads")}
            kept[name] = {"trained": trained, "seconds": found["seconds"], "scores": scores}
    kept = {name: kept[name] for name in [*TRAINED, *SEARCHED] if name in kept}
    write_json(KEPT, kept)
    write_text(README, page(read_text(README), kept))


def page(text: str, kept: dict[str, Any]) -> str:
    """The README with the table of what was measured."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = ["| change | WER | 95 % | PER |", "| --- | --- | --- | --- |"]
    for name, entry in kept.items():
        scores = entry["scores"]
        words = next(score for way, score in scores.items() if "gram" in way)
        low, high = words["interval"]
        cells = [name, f"{100 * words['wer']['rate']:.2f} %", f"{100 * low:.2f} to {100 * high:.2f}"]
        phones = scores["dev-greedy"].get("per") if name in TRAINED else None
        cells.append(f"{100 * phones['rate']:.2f} %" if phones else "–")
        rows.append(f"| {' | '.join(cells)} |")
    return f"{before}{BEGIN}\n\n" + "\n".join(rows) + f"\n\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main())
