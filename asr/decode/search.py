"""How what the network says becomes text: what a search is, and which one a model is decoded with.

B batch, N samples, T frames, V vocabulary, D encoder width.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from asr.data.transcript import Hypothesis
from asr.decode.attention_search import AttentionSearch, attention_decoder
from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.greedy import GreedySearch
from asr.decode.hotwords import hot_phrases
from asr.decode.rescoring import Rescoring
from asr.decode.second_pass import TwoPassSearch
from asr.models.decoder import StepDecoder
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


class EncoderOutput(NamedTuple):
    """The network's output for a batch: all that a search reads."""

    log_probs: npt.NDArray[np.float32]  # (B, T, V) of CTC, natural logarithms
    lens: npt.NDArray[np.int64]  # (B,), real frames
    states: npt.NDArray[np.float32]  # (B, T, D) of the encoder; of width 0 where the search does not need them


class Search(Protocol):
    """A search turns an EncoderOutput into hypotheses."""

    options: DecodingOptions
    needs_states: bool  # whether it reads the encoder's states
    has_times: bool  # whether the words of `nbest` have times and, if rough, confidences
    lm_share: float  # how much a language model counts in its scores, but for its weight
    length_norm: float  # the power of (tokens + 1) that its scores are divided by

    @property
    def ctc(self) -> CtcBeamDecoder | None:
        """The beam search with CTC that it is, or begins with: it knows the words and the language model."""

    def nbest(self, out: EncoderOutput, names: Sequence[str] | None = None) -> list[list[Hypothesis]]:
        """The hypotheses of each utterance, best first, at least one; `names` are for errors."""

    def add_times(self, out: EncoderOutput, nbest: Sequence[list[Hypothesis]]) -> list[list[Hypothesis]]:
        """Adds confidences, and times where there are none, to the first hypothesis of each utterance."""

    def with_options(self, **changes: Any) -> Search:
        """The same search with other options; what takes long to set up is shared."""


def encoder_output(log_probs: Tensor, lens: Tensor, states: Tensor | None) -> EncoderOutput:
    """Makes an EncoderOutput of tensors (B, T, V), (B,) and (B, T, D)."""
    given = (log_probs, log_probs[:, :, :0] if states is None else states)
    x, wanted = (tensor.detach().float().cpu().numpy() for tensor in given)
    return EncoderOutput(x, lens.cpu().numpy(), wanted)


def best_of_warps(
    search: Search, outs: Sequence[EncoderOutput], names: Sequence[str] | None = None
) -> tuple[EncoderOutput, list[list[Hypothesis]]]:
    """A search of what the network says with several warps of the mel axis: vocal-tract normalisation.

    Returns:
        What the network says of each utterance with the warp of the best score, and the hypotheses.
    """
    found = [search.nbest(out, names) for out in outs]
    if len(outs) == 1:
        return outs[0], found[0]
    best = [max(range(len(outs)), key=lambda n: several[n][0].score) for several in zip(*found, strict=True)]
    rows = [np.stack([part[n][b] for b, n in enumerate(best)]) for part in zip(*outs, strict=True)]
    return EncoderOutput(*rows), [found[n][b] for b, n in enumerate(best)]


@dataclass(frozen=True)
class Heard:
    """What was heard of a batch."""

    nbest: list[list[Hypothesis]]  # of each utterance, best first
    log_probs: Tensor  # (B, T, V), of the features as they are
    lens: Tensor  # (B,)
    encoder_out: Tensor  # (B, T, D), likewise


@dataclass(frozen=True)
class Decoder:
    """Decodes samples: features, network, search."""

    search: Search
    facts: dict[str, Any]  # what a result was decoded with
    units: bool = False  # whether it gives the tokens themselves, phones, and not words
    warps: tuple[float, ...] = ()  # of the mel axis, that are tried

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
            confidences: Whether true ones of words are wanted, which take long.
            timed: Makes what each stage runs within: features, network, decoding.
        """
        with timed("features"):
            features, feature_lens = recognizer.features(samples, sample_lens, speakers)
        lens = recognizer.encoder.output_lens(feature_lens)

        def network(warp: float) -> tuple[Tensor, Tensor]:
            """What CTC says, and the encoder's states."""
            with timed("network"):
                encoder_out, _ = recognizer.encode(features, feature_lens, warp=warp)
                return recognizer.ctc(encoder_out), encoder_out

        plain = network(1.0)
        warped = [plain if warp == 1 else network(warp) for warp in self.warps or (1.0,)]
        with timed("decoding"):
            states = self.search.needs_states
            outs = [encoder_output(log_probs, lens, each if states else None) for log_probs, each in warped]
            out, nbest = best_of_warps(self.search, outs, names)
            if confidences or not self.search.has_times:
                nbest = self.search.add_times(out, nbest)
        return Heard(nbest, plain[0], lens, plain[1])

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
        return Decoder(attention, {"search": "greedy by attention"}, units=units)
    tokens, seconds, lm = model.tokenizer.tokens, model.recognizer.frame_seconds, model.head.token_lm
    if lm is not None and token_lm:
        given: dict[str, Any] = {
            "frame_seconds": seconds,
            "words": model.has_words,
            "options": TOKEN_SEARCH,
            "threads": threads,
        }
        return Decoder(CtcBeamDecoder(tokens, lm=lm, **given), {"search": "greedy with token model"}, units=units)
    search = GreedySearch(tokens, seconds, words=model.has_words, apart=units)
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
    head = model.head
    words: str | Path | Lexicon | None = lexicon or head.lexicon
    if isinstance(head.tokenizer, PhoneTokenizer):
        words = _said(head.lexicon, head.tokenizer, lexicon or head.lexicon, phrases)
    return CtcBeamDecoder(
        head.tokenizer.tokens,
        lm=lm or head.lm,
        lexicon=words,
        hotwords=phrases,
        log_prior=None if head.log_prior is None else head.log_prior.double().numpy(),
        frame_seconds=model.recognizer.frame_seconds,
        words=model.has_words,
        options=options or head.decoding,
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
    kept: Path | None, tokenizer: PhoneTokenizer, lexicon: str | Path | None, phrases: Iterable[str] | None
) -> str | Path | Lexicon:
    """The lexicon of a model of phones, with hot words that it lacks, and with words that stand there without phones.

    What the model's own lexicon, the one that is kept, does not have either is guessed from it.
    """
    if phrases is None and lexicon in (None, kept):
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
    own = read_lexicon(kept) if kept else tokenizer.lexicon
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
    head, phones = model.head, model.tokenizer.kind == "phones"
    attentive = isinstance(model.recognizer.decoder, StepDecoder) and model.main == model.config.kinds[0]
    if greedy and rescore:
        raise InputError("chooses among several texts, and greedy search finds one", where=rescore)
    asked = lm or lexicon or hotwords or rescore or changes
    kept = head.lm or head.lexicon or head.neural_lm or head.decoding
    if greedy or not (asked or kept or phones or attentive):
        return greedy_decoding(model, threads=threads)
    options = with_options(head.decoding or DecodingOptions(), changes, _OPTIONS)
    if rescore and not options.rescore_weight and "rescore_weight" not in changes:  # tuned, without it or of another
        options = replace(options, rescore_weight=DecodingOptions().rescore_weight)
    neural = (rescore or head.neural_lm) if options.rescore_weight else None
    words = bool(lexicon or head.lexicon or hotwords or phones or lm or head.lm)
    kind = _search_kind(model, options, attentive, words=words)
    search: Search
    files: dict[str, Any]
    if kind == "attention":
        if lexicon or hotwords:
            raise InputError(
                "the attention decoder says tokens, and knows of no lexicon or hot words",
                where="search=attention",
                remedy="search=two-pass",
            )
        path = lm or (head.lm if options.lm_unit == "token" else None)  # the folder's may be of words
        search = AttentionSearch(model, options, path)
        files = {"lm": Path(path).name, "lm_weight": options.lm_weight} if path else {}
    else:
        search = beam_decoder(model, lm=lm, lexicon=lexicon, hotwords=hotwords, options=options, threads=threads)
        files = _files(model, lm, lexicon, hotwords)
        if options.prior_weight and head.log_prior is None:
            log.warning("%s: the model has no prior of its tokens: prior_weight means nothing", model.name)
        if kind == "two-pass":
            search = TwoPassSearch(model, search)
    first: Search = search
    own: dict[str, Any] = {}
    if neural is not None:
        if phones and kind == "attention":
            raise InputError("phones are no words to choose among", where=neural, remedy="leave --greedy out")
        rescoring = Rescoring(model, neural, search, options)
        search, first = rescoring, rescoring.search
        own = {"rescore": Path(neural).name, **{name: getattr(options, name) for name in ("nbest", *_BY_RESCORING)}}
    facts = {"search": "beam" if kind == "ctc" else kind, **_facts(first.options, kind), **files, **own}
    return Decoder(search, facts, units=phones and kind == "attention", warps=options.warps)


def _files(
    model: Model, lm: str | Path | None, lexicon: str | Path | None, hotwords: HotWords | None
) -> dict[str, str]:
    """The names of what a search with CTC is given, for a result."""
    files = {"lm": lm or model.head.lm, "lexicon": lexicon or model.head.lexicon, "hotwords": hotwords}
    if hotwords is not None and not isinstance(hotwords, str | Path):
        files["hotwords"] = f"{len(hot_phrases(hotwords))} phrases"
    named = {name: Path(path).name for name, path in files.items() if isinstance(path, str | Path)}
    if model.tokenizer.kind == "phones":
        named.setdefault("lexicon", "pronunciations.txt")
    return named


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


def _facts(options: DecodingOptions, kind: str) -> dict[str, Any]:
    """The options that mean something to a kind of search, for JSON, which has no infinity."""
    values = {name: None if value == math.inf else value for name, value in to_dict(options).items()}
    if kind == "attention":
        return {name: values[name] for name in ("attention_beam", "nbest", *_BY_ATTENTION)}
    others = {"search", "attention_beam", *_BY_ATTENTION, *_BY_RESCORING}
    others -= {"attention_beam", "ctc_weight", "length_reward"} if kind == "two-pass" else set()
    return {name: value for name, value in values.items() if name not in others}
