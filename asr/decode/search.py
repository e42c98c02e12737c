"""How a model's log-probabilities become text: greedily, or by beam search with what its folder holds."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from asr.data.transcript import Hypothesis
from asr.decode.attention_search import AttentionSearch, TwoPassSearch, attention_decoder
from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.greedy import greedy_search
from asr.decode.hotwords import hot_phrases
from asr.decode.rescoring import Rescoring
from asr.models.decoding_options import DecodingChanges, DecodingOptions, with_options
from asr.models.model import Model
from asr.models.neural_lm import is_neural_lm
from asr.models.recognizer import Recognizer
from asr.text.lexicon import Lexicon, read_lexicon
from asr.text.pronunciations import pronounce
from asr.text.tokenizer import PhoneTokenizer
from asr.utils.config import to_dict
from asr.utils.errors import InputError
from asr.utils.unicode import graphemes

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger(__name__)

HotWords = str | Path | Mapping[str, float | None] | Sequence[str]
_OPTIONS = ("greedy", "lm", "lexicon", "hotwords", "rescore", "threads")
_BY_ATTENTION = ("ctc_weight", "length_reward", "length_norm", "end_factor")
_BY_RESCORING = ("rescore_beam", "rescore_weight")
TOKEN_SEARCH = DecodingOptions(beam_size=16, lm_weight=1.0, unk_score=0.0, unk_letter_score=0.0, lm_unit="token")


@dataclass(frozen=True)
class Heard:
    """What was heard of a batch."""

    nbest: list[list[Hypothesis]]  # of each utterance, best first
    log_probs: Tensor  # (B, T, V), of the features as they are
    lens: Tensor  # (B,)
    encoder_out: Tensor  # (B, T, D), likewise


# (log_probs (B, T, V), lens (B,), names, confidences=...) -> the hypotheses of each utterance, best first; confidences
# that take long are only looked for where they are wanted. Those that attend take encoder_out=(B, T, D), too.
Search = Callable[..., list[list[Hypothesis]]]


@dataclass(frozen=True)
class Decoder:
    """How log-probabilities become text."""

    search: Search
    facts: dict[str, Any]  # what a result was decoded with
    units: bool = False  # whether it gives the tokens themselves, phones, and not words
    warps: tuple[float, ...] = ()  # of the mel axis, that are tried
    attends: bool = False  # whether the search takes the encoder's states, too
    decoder: CtcBeamDecoder | None = None  # that of a search with CTC

    def decode(
        self,
        recognizer: Recognizer,
        samples: Tensor,
        sample_lens: Tensor,
        names: Sequence[str] | None = None,
        speakers: Sequence[str] | None = None,
        *,
        confidences: bool = True,
        timed: Callable[[str], AbstractContextManager[None]] = lambda stage: nullcontext(),
    ) -> Heard:
        """Samples (B, N), lengths (B,) -> hypotheses; of several warps those of the best score, for each utterance.

        Args:
            confidences: Whether those of words are wanted, which take long.
            timed: Makes what each stage runs within: features, network, decoding.
        """
        with timed("features"):
            features, feature_lens = recognizer.features(samples, sample_lens, speakers)

        def network(warp: float) -> tuple[Tensor, Tensor]:
            """What CTC says, and the encoder's states."""
            with timed("network"):
                encoder_out, _ = recognizer.encode(features, feature_lens, warp=warp)
                return recognizer.ctc(encoder_out), encoder_out

        def search(log_probs: Tensor, encoder_out: Tensor, sure: bool) -> list[list[Hypothesis]]:
            with timed("decoding"):
                more = {"encoder_out": encoder_out} if self.attends else {}
                return self.search(log_probs, lens, names, confidences=sure, **more)

        lens = recognizer.encoder.output_lens(feature_lens)
        plain = network(1.0)
        if len(self.warps) < 2:
            (warp,) = self.warps or (1.0,)
            return Heard(search(*(plain if warp == 1 else network(warp)), confidences), plain[0], lens, plain[1])
        warped = [plain if warp == 1 else network(warp) for warp in self.warps]
        ways = [search(*each, False) for each in warped]
        best = [max(range(len(several)), key=lambda n: several[n][0].score) for several in zip(*ways, strict=True)]
        if confidences:
            chosen = [torch.stack([warped[n][k][i] for i, n in enumerate(best)]) for k in range(2)]
            return Heard(search(chosen[0], chosen[1], True), plain[0], lens, plain[1])
        return Heard([ways[n][i] for i, n in enumerate(best)], plain[0], lens, plain[1])

    @property
    def several(self) -> bool:
        """Whether more hypotheses than the best were asked for."""
        return bool(self.facts.get("nbest", 1) > 1)


def greedy_decoding(model: Model, *, token_lm: bool = True, threads: int = 0) -> Decoder:
    """The best token of each frame; of CTC-CRF, whose frames tell little alone, the best ones with the token model.

    Where CTC was not trained, what the attention decoder says, token by token.

    Args:
        token_lm: Whether CTC-CRF's token model takes part: it means nothing while CTC still warms up.
        threads: Of the search with the token model; 0: as many as there are processors.
    """
    units = model.tokenizer.kind == "phones"
    if model.recognizer.decoder is not None and not model.config.decoder.ctc_weight:
        attention = AttentionSearch(model, DecodingOptions(attention_beam=1))
        return Decoder(attention, {"search": "greedy by attention"}, units=units, attends=True)
    if model.token_lm is not None and token_lm:
        decoder = CtcBeamDecoder(
            model.tokenizer.tokens,
            lm=model.token_lm,
            frame_seconds=model.recognizer.frame_seconds,
            words=model.has_words,
            options=TOKEN_SEARCH,
            threads=threads,
        )
        return Decoder(decoder.decode, {"search": "greedy with token model"}, units=units)

    def search(
        log_probs: Tensor, lens: Tensor, names: Sequence[str] | None = None, *, confidences: bool = True
    ) -> list[list[Hypothesis]]:
        found = greedy_search(
            log_probs,
            lens,
            model.tokenizer.tokens,
            frame_seconds=model.recognizer.frame_seconds,
            words=model.has_words,
            apart=units,
        )
        return [[hypothesis] for hypothesis in found]

    return Decoder(search, {"search": "greedy"}, units=units)


def beam_decoder(
    model: Model,
    *,
    lm: str | Path | None = None,
    lexicon: str | Path | None = None,
    hotwords: HotWords | None = None,
    options: DecodingOptions | None = None,
    threads: int = 0,
) -> CtcBeamDecoder:
    """The beam search of a model: with its folder's language model and lexicon, where no others are given.

    Phones without a lexicon have that of their training.
    """
    if lm is not None and is_neural_lm(lm):
        raise InputError(
            "is a neural model, which CTC's search cannot ask",
            where=lm,
            remedy="--rescore chooses with it among texts; of tokens --search attention, too",
        )
    if options is not None and options.warps and model.config.features.kind != "fbank":
        raise InputError("warps are of the mel axis, which mfcc does not have", where="warps")
    phrases = _normalised(model, hotwords)
    words: str | Path | Lexicon | None = lexicon or model.lexicon
    if isinstance(model.tokenizer, PhoneTokenizer):
        words = _said(model, model.tokenizer, lexicon or model.lexicon, phrases)
    return CtcBeamDecoder(
        model.tokenizer.tokens,
        lm=lm or model.lm,
        lexicon=words,
        hotwords=phrases,
        log_prior=None if model.log_prior is None else model.log_prior.double().numpy(),
        frame_seconds=model.recognizer.frame_seconds,
        words=model.has_words,
        options=options or model.decoding,
        threads=threads,
    )


def _normalised(model: Model, hotwords: HotWords | None) -> dict[str, float | None] | None:
    """Hot phrases as the model writes texts."""
    if hotwords is None:
        return None
    normalizer = model.normalizer()
    found = {normalizer(phrase): boost for phrase, boost in hot_phrases(hotwords).items()}
    if "" in found:
        raise InputError("a phrase has no letter", where="hotwords")
    return found


def _said(
    model: Model, tokenizer: PhoneTokenizer, lexicon: str | Path | None, phrases: Iterable[str] | None
) -> str | Path | Lexicon:
    """The lexicon of a model of phones, with hot words that it lacks, and with words that stand there without phones.

    What the model's own lexicon does not have either is guessed from it.
    """
    if phrases is None and lexicon in (None, model.lexicon):
        return lexicon or tokenizer.lexicon
    chosen = tokenizer.lexicon if lexicon is None else read_lexicon(lexicon)
    phones = set(tokenizer.tokens)
    given = [(word, units) for word, units in chosen.pronunciations if phones.issuperset(units)]
    spelled = {word for word, units in chosen.pronunciations if units == tuple(graphemes(word))}
    known = {word for word, _ in given}
    hot = {word for phrase in phrases or () for word in phrase.split()}
    wanted = sorted((spelled | hot) - known)
    if not wanted:
        return lexicon or tokenizer.lexicon
    own = read_lexicon(model.lexicon) if model.lexicon else tokenizer.lexicon
    found = pronounce(wanted, lexicon=own)
    firsts = {word: said.pronunciations[0] for word, said in found.said.items() if said.source == "guess"}
    guessed = [f"{word} ({' '.join(units)})" for word, units in firsts.items()]
    if guessed:
        others = f", and {len(guessed) - 5:,} others" if len(guessed) > 5 else ""
        log.warning("how words are said is guessed: %s%s", ", ".join(guessed[:5]), others)
    rest = [pair for pair in chosen.pronunciations if pair[0] not in found.said or pair[0] in known]
    return Lexicon((*rest, *((word, units) for word, said in found.said.items() for units in said.pronunciations)))


def build_search(
    model: Model,
    *,
    greedy: bool = False,
    lm: str | Path | None = None,
    lexicon: str | Path | None = None,
    hotwords: HotWords | None = None,
    rescore: str | Path | None = None,
    threads: int = 0,
    **changes: Unpack[DecodingChanges],
) -> Decoder:
    """What `asr transcribe` and `asr evaluate` decode with.

    Beam search, where its folder has a language model, a lexicon or tuned options, or where any is given here; else, or
    with `greedy`, greedy search.

    Args:
        lm: A language model's file, instead of the folder's.
        lexicon: A lexicon's file, instead of the folder's.
        hotwords: A file of phrases; phrases with their boosts; or phrases. They are normalised as the model's texts.
        rescore: A neural language model's file, instead of the folder's, with which the texts that are found are chosen
            anew; none where rescore_weight is 0.
        threads: Of the search; 0: as many as there are processors.
        changes: Fields of DecodingOptions, instead of the folder's.
    """
    asked = lm or lexicon or hotwords or rescore or model.neural_lm or changes
    phones = model.tokenizer.kind == "phones"
    attentive = model.recognizer.decoder is not None and model.recognizer.main == model.config.kinds[0]
    if greedy and rescore:
        raise InputError("chooses among several texts, and greedy search finds one", where=rescore)
    if greedy or not (asked or phones or model.lm or model.lexicon or model.decoding or attentive):
        return greedy_decoding(model, threads=threads)
    options = with_options(model.decoding or DecodingOptions(), changes, _OPTIONS)
    neural = rescore or model.neural_lm
    if rescore and not options.rescore_weight and "rescore_weight" not in changes:  # tuned, without it or of another
        options = replace(options, rescore_weight=DecodingOptions().rescore_weight)
    if neural and options.rescore_weight:
        return _rescored(model, neural, options, lm=lm, lexicon=lexicon, hotwords=hotwords, threads=threads)
    listed = bool(lexicon or model.lexicon or hotwords or phones)
    found = _search_kind(model, options, attentive, words=listed or bool(lm or model.lm))
    if found == "attention":
        if lexicon or hotwords:
            raise InputError(
                "the attention decoder says tokens, and knows of no lexicon or hot words",
                where="search=attention",
                remedy="search=two-pass",
            )
        path = lm or (model.lm if options.lm_unit == "token" else None)  # the folder's may be of words
        attention = AttentionSearch(model, options, path)
        facts = _facts(attention.options, ("attention_beam", "nbest", *_BY_ATTENTION))
        facts |= {"lm": Path(path).name, "lm_weight": options.lm_weight} if path else {}
        return Decoder(attention, {"search": "attention", **facts}, units=phones, warps=options.warps, attends=True)
    decoder = beam_decoder(model, lm=lm, lexicon=lexicon, hotwords=hotwords, options=options, threads=threads)
    if options.prior_weight and model.log_prior is None:
        log.warning("%s: the model has no prior of its tokens: prior_weight means nothing", model.name)
    files = {"lm": lm or model.lm, "lexicon": lexicon or model.lexicon, "hotwords": hotwords}
    if hotwords is not None and not isinstance(hotwords, str | Path):
        files["hotwords"] = f"{len(hot_phrases(hotwords))} phrases"
    named = {name: Path(path).name for name, path in files.items() if isinstance(path, str | Path)}
    if phones:
        named.setdefault("lexicon", "pronunciations.txt")
    own = [
        name for name in to_dict(options) if name not in ("search", "attention_beam", *_BY_ATTENTION, *_BY_RESCORING)
    ]
    if found == "two-pass":
        own += ["attention_beam", "ctc_weight", "length_reward"]
        two_pass = TwoPassSearch(model, decoder)
        facts = {"search": "two-pass", **_facts(options, own), **named}
        return Decoder(two_pass, facts, warps=options.warps, attends=True, decoder=decoder)
    facts = {"search": "beam", **_facts(options, own), **named}
    return Decoder(decoder.decode, facts, warps=options.warps, decoder=decoder)


def _rescored(model: Model, rescore: str | Path, options: DecodingOptions, **given: Any) -> Decoder:
    """The search without it, of more texts, and the choice among them."""
    count = max(options.nbest, options.rescore_beam)
    more = {**to_dict(options), "nbest": count, "beam_size": max(options.beam_size, count), "rescore_weight": 0.0}
    found = build_search(model, **given, **more)
    if found.units:
        raise InputError("phones are no words to choose among", where=rescore, remedy="leave --greedy out")
    if isinstance(found.search, AttentionSearch):
        found.search.times = False  # the text that is chosen will have them
    how, decoder = found.facts["search"], found.decoder
    rescoring = Rescoring(model, rescore, found.search, options, how=how, decoder=decoder)
    own = {name: getattr(options, name) for name in ("nbest", "rescore_weight", "rescore_beam")}
    return replace(found, search=rescoring, facts={**found.facts, **own, "rescore": Path(rescore).name})


def _search_kind(model: Model, options: DecodingOptions, attentive: bool, *, words: bool) -> str:
    """How a model is searched: ctc, attention or two-pass."""
    alone = attentive and not model.config.decoder.ctc_weight
    found = options.search
    if found == "auto":
        found = "ctc" if not attentive else "two-pass" if words and not alone else "attention"
    if found != "ctc":
        attention_decoder(model)
    if found != "attention" and alone:
        raise InputError(
            f"was trained with attention alone: its CTC head has learnt nothing, which search={found} needs",
            where=model.name,
            remedy="search=attention; or train with decoder.ctc_weight above 0",
        )
    return found


def _facts(options: DecodingOptions, names: Sequence[str]) -> dict[str, Any]:
    """For JSON, which has no infinity."""
    values = to_dict(options)
    return {name: None if values[name] == math.inf else values[name] for name in names}
