"""asr lm"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr.cli.common import bytes_of, given, is_quiet, numbers_of, say
from asr.cli.lm_text import ReadingProgress, recogniser_of, sentences_of, tell_unwritten
from asr.cli.training import config_and_settings
from asr.utils.device import configure_torch
from asr.utils.errors import InputError

if TYPE_CHECKING:
    from asr.lm.corpus import Corpus
    from asr.lm.ngram import NgramModel
    from asr.models.neural_lm import NeuralLm

_SUFFIXES = (".arpa", ".arpa.gz", ".arpa.xz", ".safetensors", ".lmz")

LmFile = Annotated[Path, typer.Argument(metavar="LM", help="An ARPA file (also .gz, .xz) or a converted model.")]
Texts = Annotated[
    list[str],
    typer.Argument(metavar="TEXT...", help="Files, a sentence a line, plain, .gz or .xz; - for standard input."),
]
Out = Annotated[
    Path,
    typer.Option("--out", help="Where to: .safetensors (ready at once), .lmz (smallest), .arpa, .arpa.gz or .arpa.xz."),
]
Vocabulary = Annotated[
    str | None,
    typer.Option(
        metavar="N|FILE",
        help="The N most frequent words, or those of a file, a word or word<TAB>units a line; others are <unk>.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(metavar="X", help="Leave out n-grams that raise perplexity by less, relatively: 1e-9 to 1e-7."),
]
ModelFolder = Annotated[
    Path | None, typer.Option("--model", help="A recogniser: texts are normalised as its transcripts were.")
]
Unit = Annotated[
    str | None,
    typer.Option(
        help="word, or token: the units of --model. Default: token where its texts have no spaces, else word."
    ),
]
MaxSize = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Prune until OUT is no larger: 20MB, 500kB, or a number of bytes.")
]

app = typer.Typer(help="Language models: n-grams, and neural ones.", no_args_is_help=True, rich_markup_mode=None)


@app.command("train")
def train(
    text: Texts,
    *,
    out: Out,
    order: Annotated[int | None, typer.Option(help="Words of the longest n-grams, 1 to 10. Default: 3.")] = None,
    model: ModelFolder = None,
    unit: Unit = None,
    vocabulary: Vocabulary = None,
    cutoff: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Leave out n-grams seen at most so often, a number an order; the last holds for higher ones."
            " Default: 0.",
        ),
    ] = None,
    prune: Threshold = None,
    max_size: MaxSize = None,
) -> None:
    """Make a language model of text: n-grams, with modified Kneser-Ney smoothing.

    Words are taken as they stand, between spaces: write them as the recogniser does, or let --model do so. Lines
    without words are passed over.
    """
    from asr.lm.kneser_ney import EstimateOptions, estimate_ngram

    _check_out(out, *text)
    _check_threshold(prune)
    limit = bytes_of(max_size, "max-size")
    options = EstimateOptions(**given(order=order, cutoffs=numbers_of(cutoff, "cutoff", int)))
    texts = _Texts(model, unit, vocabulary)
    try:
        corpus = texts.corpus(text)
        texts.tell(corpus)
        made = estimate_ngram(corpus, options, texts.progress.stage)
    finally:
        texts.progress.clear()
    _write(_pruned(made, prune, limit, out), out)


@app.command("train-neural")
def train_neural(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG] [KEY=VALUE ...]",
            help="A YAML file of settings, and settings that win over it: model.kind=gru epochs=5. All have defaults.",
        ),
    ] = None,
    *,
    text: Annotated[
        list[str],
        typer.Option(
            "--data",
            metavar="TEXT",
            help="A file, a sentence a line, plain, .gz or .xz; - for standard input. Once for each.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The .safetensors file to write; OUT.run gets the log and checkpoints.")
    ],
    model: ModelFolder = None,
    unit: Unit = None,
    vocabulary: Vocabulary = None,
    dev: Annotated[
        Path | None,
        typer.Option("--dev", metavar="TEXT", help="To judge by. Default: a fiftieth of the text, not learnt."),
    ] = None,
) -> None:
    """Make a neural language model of text: an LSTM, a GRU, a simple RNN or a Transformer.

    Words are taken as they stand, between spaces: write them as the recogniser does, or let --model do so. The same
    command goes on where it was stopped.
    """

    _check_out(out, *text, *([dev] if dev is not None else []))
    if out.suffix != ".safetensors":
        raise InputError("is no name for a neural model", where=out, remedy="let it end in .safetensors")
    configure_torch()
    from asr.train.language_model import TrainLmConfig, train_lm
    from asr.train.monitors import training_monitor
    from asr.utils.config import read_config

    config = read_config(TrainLmConfig, *config_and_settings(words), ignore=["run"])
    texts = _Texts(model, unit, vocabulary)
    try:
        corpus = texts.corpus(text)
        judged = None if dev is None else texts.corpus([str(dev)], corpus.words[3:])
    finally:
        texts.progress.clear()
    with training_monitor(quiet=is_quiet()) as monitor:
        made = train_lm(corpus, out, config, tokens=texts.all_tokens, dev=judged, monitor=monitor)
    size = sum(p.numel() for p in made.parameters())
    say(f"asr: wrote {out}: {made.config.kind}, {len(made.words) - 1:,} words, {size / 1e6:.2f} M parameters")


class _Texts:
    """Reads texts as a recogniser writes them, with a vocabulary."""

    def __init__(self, model: Path | None, unit: str | None, vocabulary: str | None) -> None:
        self.unit, self.vocabulary = unit, vocabulary
        self.recogniser, self.progress = recogniser_of(model), ReadingProgress()
        self.tokens: list[str] | None = None  # of the recogniser, where they are the words

    def corpus(self, paths: Sequence[str], words: list[str] | None = None) -> Corpus:
        """The sentences of files; of the given words, or the vocabulary's."""
        from asr.lm.corpus import read_corpus

        files = [Path(path) for path in paths]
        sentences, self.tokens = sentences_of(files, self.recogniser, self.unit, self.progress)
        if self.tokens is not None and self.vocabulary is not None:
            raise InputError("means nothing for a model of tokens: they are its words", where="vocabulary")
        known = words or (self.tokens if self.tokens is not None else _vocabulary(self.vocabulary))
        return read_corpus(sentences, known, ", ".join(paths))

    @property
    def all_tokens(self) -> Sequence[str] | None:
        """The recogniser's tokens, the blank first, where they are the words."""
        return None if self.tokens is None or self.recogniser is None else self.recogniser.tokenizer.tokens

    def tell(self, corpus: Corpus) -> None:
        """Says what was read, and names words that the recogniser cannot hear."""
        self.progress.clear()
        unit, lacking = "words" if self.tokens is None else "tokens", ""
        if self.vocabulary is not None:
            lacking = f"; {100 * corpus.outside / corpus.tokens:.2f} % of the text is not in it"
        say(
            f"asr: {corpus.tokens:,} {unit} in {corpus.sentences:,} sentences, a vocabulary of"
            f" {len(corpus.words) - 3:,}{lacking}"
        )
        if self.recogniser is not None and self.tokens is None:
            tell_unwritten(corpus.words[3:], self.recogniser)


@app.command("prune")
def prune(
    model: LmFile,
    *,
    out: Out,
    threshold: Threshold = None,
    max_size: MaxSize = None,
) -> None:
    """Make a language model smaller: leave out the n-grams that it can best do without. Words all stay."""
    from asr.lm.files import read_ngram

    _check_out(out)
    _check_threshold(threshold)
    limit = bytes_of(max_size, "max-size")
    if threshold is None and limit is None:
        raise InputError("how far to go is not said", where="prune", remedy="give --threshold or --max-size")
    _write(_pruned(read_ngram(model), threshold, limit, out), out)


@app.command("interpolate")
def interpolate(
    models: Annotated[list[Path], typer.Argument(metavar="LM...", help="Two models or more, ARPA or converted.")],
    *,
    out: Out,
    text: Annotated[
        Path | None,
        typer.Option(
            "--text",
            metavar="TEXT",
            help="Held-out text, a sentence a line, of the kind to recognise: finds the weights.",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="W,W,...", help="The models' weights, instead of those that TEXT finds.")
    ] = None,
    model: ModelFolder = None,
    unit: Unit = None,
) -> None:
    """Make one language model of several, weighted as TEXT wants it.

    It knows the words of all of them; best have the same --vocabulary. --model normalises TEXT. Perplexities are of
    the whole vocabulary, so that they can be compared.
    """
    from asr.lm.corpus import clean_sentences
    from asr.lm.files import read_ngram
    from asr.lm.interpolation import interpolate as run

    _check_out(out, *models)
    given_weights = numbers_of(weights, "weights")
    if text is None and given_weights is None:
        raise InputError(
            "what the weights are to fit is not said", where="interpolate", remedy="give --text or --weights"
        )
    held_out = None
    if text is not None:
        held_out = list(clean_sentences(sentences_of([text], recogniser_of(model), unit, ReadingProgress())[0], text))
    mixture = run([read_ngram(path) for path in models], held_out, given_weights, str(text))
    _write(mixture.model, out)
    for i, path in enumerate(models):
        line = f"{path}: weight {mixture.weights[i]:.3f}"
        print(line + (f", perplexity {mixture.perplexities[i]:.2f}" if mixture.perplexities else ""))
    if held_out is not None:
        reached = mixture.model.perplexity(held_out).perplexity
        print(f"{out}: perplexity {reached:.2f}")
        if reached > min(mixture.perplexities):
            print(
                "asr: one of the models alone foretells the text better: make them with the same --vocabulary",
                file=sys.stderr,
            )


@app.command("perplexity")
def perplexity(
    model: LmFile,
    text: Annotated[
        Path, typer.Argument(metavar="TEXT", help="A sentence a line, plain, .gz or .xz; - for standard input.")
    ],
    recogniser: ModelFolder = None,
    unit: Unit = None,
) -> None:
    """Measure how well a language model predicts a text: the lower, the better.

    Words are compared with the model's as they are: upper and lower case count, and so does punctuation. Write the
    text the way the model's own text was written, or give the --model that it was made with. Empty lines are skipped.
    """
    from asr.lm.corpus import clean_sentences

    loaded = _any_model(model)
    said = Counter[str]()
    sentences, tokens = sentences_of([text], recogniser_of(recogniser), unit, ReadingProgress(), said)
    where = "standard input" if str(text) == "-" else text
    result = loaded.perplexity(clean_sentences(sentences, where))
    if not result.words:
        raise InputError("holds no words", where=where)
    line = f"perplexity {result.perplexity:.2f}"
    if result.unknown:
        share = 100 * result.unknown / result.words
        line += f" with {result.unknown:,} unknown words of {result.words:,} ({share:.2f} %)"
        line += f", {result.perplexity_known:.2f} without them"
    else:
        line += f" of {result.words:,} {'words' if tokens is None else 'tokens'}, none unknown"
    if tokens is not None and said.total():  # of the same text, whatever it is cut into
        a_word = math.pow(10.0, min(-result.log_prob / (said.total() + result.sentences), 308.0))
        line += f"; {a_word:.2f} of {said.total():,} words"
    print(f"{line}; {result.sentences:,} sentences")
    if 2 * result.unknown > result.words:
        print(
            "asr: more than half of the words are unknown to the model: is the text written as the model's words are"
            f" (upper or lower case, punctuation, Unicode form)? The model knows {_examples(loaded.words)}",
            file=sys.stderr,
        )


def _examples(words: list[str]) -> str:
    plain = (word for word in words if not word.startswith("<"))
    return ", ".join(repr(word) for word, _ in zip(plain, range(3), strict=False)) or "no words"


@app.command("convert")
def convert(model: LmFile, *, out: Out) -> None:
    """Convert a language model between ARPA, which other programs read, and our own format, which loads at once."""
    from asr.lm.files import read_ngram

    _check_out(out)
    _write(read_ngram(model), out)


# Options


def _check_out(out: Path, *inputs: str | Path) -> None:
    from asr.utils.files import check_output, remove_leftovers

    if not out.name.endswith(_SUFFIXES):
        raise InputError(
            "the name does not say what to write", where=out, remedy=f"let it end in {', '.join(_SUFFIXES)}"
        )
    check_output(out, *inputs)
    remove_leftovers(out)


def _check_threshold(threshold: float | None) -> None:

    if threshold is not None and not threshold > 0:
        raise InputError(f"{threshold:g} is not above 0", where="prune", remedy="2e-8 takes half of a large model")


def _vocabulary(value: str | None) -> int | list[str] | None:
    """A number of words, or the words of a file."""
    from asr.text.lexicon import read_lexicon

    if value is None:
        return None
    if not re.fullmatch(r"-?\d+", value):
        return read_lexicon(value).words
    if int(value) < 1:
        raise InputError(f"{value} words are none", where="vocabulary")
    return int(value)


# Models


def _any_model(path: Path) -> NgramModel | NeuralLm:
    """A language model, whatever it is made of."""
    from asr.lm.files import read_ngram

    if path.suffix == ".safetensors" and path.is_file():
        configure_torch()
        from asr.models.neural_lm import is_neural_lm, read_neural_lm

        if is_neural_lm(path):
            return read_neural_lm(path)
    return read_ngram(path)


def _pruned(model: NgramModel, threshold: float | None, limit: int | None, out: Path) -> NgramModel:
    """The model as small as asked for."""
    from asr.lm.files import written_size
    from asr.lm.pruning import prune, shrink

    if threshold is not None:
        model = prune(model, threshold)
    return model if limit is None else shrink(model, limit, lambda tried: written_size(tried, out.name))


def _write(model: NgramModel, out: Path) -> None:
    from asr.lm.files import save_ngram

    save_ngram(model, out)
    counts = ", ".join(f"{count:,} {order}-grams" for order, count in enumerate(model.counts, 1))
    say(f"asr: wrote {out}: a model of order {model.order} with {counts}")
