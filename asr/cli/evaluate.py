"""asr evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr.cli.common import (
    AttentionBeam,
    BeamSize,
    BeamThreshold,
    CtcWeight,
    EndFactor,
    Greedy,
    HeadKind,
    HotwordBoost,
    HotwordsFile,
    LengthNorm,
    LengthReward,
    LexiconFile,
    Lm,
    LmUnit,
    LmWeight,
    Nbest,
    PriorWeight,
    Rescore,
    RescoreBeam,
    RescoreWeight,
    SearchName,
    Temperature,
    TokenThreshold,
    Translation,
    UnkLetterScore,
    UnkScore,
    Warps,
    WordScore,
    given,
    numbers_of,
    say,
)
from asr.utils.device import configure_torch
from asr.utils.errors import InputError


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or the name of a shipped model.")],
    cuts: Annotated[Path, typer.Argument(metavar="CUTS", help="A cut manifest, e.g. data/fsdd/cuts_test.jsonl.gz.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for hypotheses.jsonl and scores.json.")] = None,
    batch_seconds: Annotated[
        float | None, typer.Option(help="Seconds of audio in a batch, padding included. Default: 120.")
    ] = None,
    num_workers: Annotated[int | None, typer.Option(help="Processes that read audio. Default: 0.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results of another model, or of another set.")
    ] = False,
    translation: Translation = False,
    head: HeadKind = None,
    greedy: Greedy = False,
    lm: Lm = None,
    lexicon: LexiconFile = None,
    hotwords: HotwordsFile = None,
    beam_size: BeamSize = None,
    nbest: Nbest = None,
    lm_weight: LmWeight = None,
    word_score: WordScore = None,
    unk_score: UnkScore = None,
    unk_letter_score: UnkLetterScore = None,
    prior_weight: PriorWeight = None,
    hotword_boost: HotwordBoost = None,
    temperature: Temperature = None,
    beam_threshold: BeamThreshold = None,
    token_threshold: TokenThreshold = None,
    lm_unit: LmUnit = None,
    warps: Warps = None,
    search: SearchName = None,
    attention_beam: AttentionBeam = None,
    ctc_weight: CtcWeight = None,
    length_reward: LengthReward = None,
    length_norm: LengthNorm = None,
    end_factor: EndFactor = None,
    rescore: Rescore = None,
    rescore_weight: RescoreWeight = None,
    rescore_beam: RescoreBeam = None,
) -> None:
    """Decode a set of utterances and score it."""
    configure_torch()
    from asr.evaluate.evaluation import evaluate as run
    from asr.evaluate.report import write_report
    from asr.models.folder import load_model

    if cuts.is_dir():
        raise InputError("is a folder", where=cuts, remedy=f"name a manifest of it: {cuts / 'cuts_test.jsonl.gz'}")
    loaded = load_model(model, head=head)
    if out is not None and not overwrite:
        _check_own(out, loaded.name, cuts)
    decoding = given(
        greedy=greedy or None,
        lm=lm,
        lexicon=lexicon,
        hotwords=hotwords,
        beam_size=beam_size,
        nbest=nbest,
        lm_weight=lm_weight,
        word_score=word_score,
        unk_score=unk_score,
        unk_letter_score=unk_letter_score,
        prior_weight=prior_weight,
        hotword_boost=hotword_boost,
        temperature=temperature,
        beam_threshold=beam_threshold,
        token_threshold=token_threshold,
        lm_unit=lm_unit,
        warps=numbers_of(warps),
        search=search,
        attention_beam=attention_beam,
        ctc_weight=ctc_weight,
        length_reward=length_reward,
        length_norm=length_norm,
        end_factor=end_factor,
        rescore=rescore,
        rescore_weight=rescore_weight,
        rescore_beam=rescore_beam,
    )
    options = given(batch_seconds=batch_seconds, num_workers=num_workers)
    result = run(loaded, cuts, out, translation=translation, **options, **decoding)
    print(result.summary())
    if out is not None:
        write_report(out)
        say(f"asr: wrote {out}/hypotheses.jsonl, scores.json and report.html")


def _check_own(out: Path, model: str, cuts: Path) -> None:
    """An InputError where results are of another model or set."""
    import json

    from asr.utils.files import read_text

    if not (out / "scores.json").is_file():
        return
    try:
        before = json.loads(read_text(out / "scores.json"))
        of = before["model"], before["data"]
    except (ValueError, KeyError, TypeError):
        return  # it is nobody's
    if of != (model, str(cuts)):
        remedy = "name another --out, or --overwrite"
        raise InputError(f"holds results of {of[0]} on {of[1]}", where=out, remedy=remedy)
