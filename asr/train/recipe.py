"""What the recipes of corpora do: prepare, train, make a language model, tune, evaluate, and write down how it went.

What is there is left out, so that a recipe goes on where it was. A run's folder gets `results.json`: its error rates
with all that somebody needs to see them again.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.evaluate.wer import Unit
from asr.utils.errors import InputError
from asr.utils.units import duration_words

if TYPE_CHECKING:
    from asr.models.decoding_options import DecodingOptions
    from asr.models.model import Model

log = logging.getLogger(__name__)

RESULTS_FORMAT = 1
_TUNED = "tuned.yaml"  # in a run's folder: the options of each search
_NO_TEXT = "no text for the language model: that of the training set is taken; looked for"


@dataclass(frozen=True, kw_only=True)
class TextModel:
    """The language model of a recipe."""

    order: int = 3
    # files below $ASR_DATA, of which the first that is there is taken; none: the training texts
    texts: tuple[str, ...] = ()
    tokens: bool = False  # it is of the recogniser's tokens, even where its texts have words
    unit: Unit | None = None  # that errors are counted in while weights are searched; None: words, if there are any
    warps: tuple[float, ...] = ()  # of the mel axis, that are tried; kept where they are better on dev
    closed: bool = False  # nothing can be heard but its words
    words: int | None = None  # the most frequent ones, so many; of phones, those that can be heard
    options: DecodingOptions | None = None  # of decoding; None: those that are best on dev
    like: Path | None = None  # a run whose language model, lexicon and options of decoding are taken instead


def main(
    prepare: Callable[[None, Path], Any],
    folder: Path,
    description: str,
    *,
    language_model: TextModel | None = None,
    splits: Sequence[str] = ("test",),
    arguments: Sequence[str] | None = None,
) -> None:
    """A recipe's command line. Prints the error rates.

    Args:
        prepare: Of the corpus's module: (None, data) -> what it has to say.
        folder: The recipe's own, with conf/blstm.yaml.
        description: The recipe's docstring.
        language_model: None: decoding is greedy.
        splits: Those that are evaluated.
        arguments: The command line's where None.
    """
    args = read_arguments(argument_parser(description, folder), arguments)
    with told_plainly():
        run(prepare, args.config, args.data, args.out, language_model, splits, args.seed)


def argument_parser(description: str, folder: Path) -> argparse.ArgumentParser:
    """[CONFIG] [--data FOLDER] [--out FOLDER] [--seed N] of the recipe in a folder."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("config", nargs="?", default=folder / "conf" / "blstm.yaml", type=Path)
    parser.add_argument("--data", default=folder / "data", type=Path, help="prepared manifests (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="the run's folder (default: exp/ and the configuration's name)")
    parser.add_argument("--seed", type=int, help="instead of the configuration's; --out is exp/CONFIG-seedN then")
    parser.set_defaults(exp=folder / "exp")
    return parser


def read_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was given, `out` in any case."""
    args = parser.parse_args(arguments)
    if args.out is None:
        args.out = args.exp / (args.config.stem + (f"-seed{args.seed}" if args.seed is not None else ""))
    return args


@contextmanager
def told_plainly() -> Iterator[None]:
    """A recipe's messages and exit codes."""
    from asr.utils.device import configure_torch

    configure_torch()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        yield
    except InputError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def run(
    prepare: Callable[[None, Path], Any],
    config: Path,
    data: Path,
    out: Path,
    language_model: TextModel | None = None,
    splits: Sequence[str] = ("test",),
    seed: int | None = None,
    settings: Sequence[str] = (),
    translation: bool = False,
) -> dict[str, Any]:
    """All of a recipe; what results.json holds.

    Args:
        seed: Instead of the configuration's.
        settings: KEY=VALUE, which win over the configuration.
        translation: The texts are one. BLEU and chrF are scored, also of always saying the most frequent text of the
            training; the attention decoder searches, with CTC and without.
    """
    from asr.evaluate.evaluation import evaluate
    from asr.evaluate.report import write_report
    from asr.models.folder import load_model
    from asr.train.config import TrainConfig
    from asr.train.recognizer import train_recognizer
    from asr.train.run_folder import is_finished
    from asr.utils.config import read_config
    from asr.utils.files import write_json

    steps = _Steps(out)
    with steps("prepare"):
        log.info("%s", prepare(None, data))
    wanted = read_config(TrainConfig, config, [*settings, *([] if seed is None else [f"seed={seed}"])])
    if not is_finished(out) or read_config(TrainConfig, out / "config.yaml", ignore=["run"]).epochs < wanted.epochs:
        train_recognizer(wanted, data, out)
    if language_model is not None:
        add_language_model(out, data, language_model, steps)
    ways = _ways(load_model(out / "model"), out, language_model, translation)
    names = {(split, way): f"{split}-{way}" if len(ways) > 1 else split for split in splits for way in ways}
    steps.seconds.pop("evaluate", None)  # done anew
    with steps("evaluate"):
        for split in splits:
            for way, options in ways.items():
                name = names[split, way]
                cuts = data / f"cuts_{split}.jsonl.gz"
                model, folder = load_model(out / "model"), out / "results" / name
                result = evaluate(model, cuts, folder, translation=translation, **options)
                write_report(folder)
                print(f"{name}: {result}", flush=True)
    found = results(config, data, out, list(names.values()))
    if translation:
        found["most frequent text"] = _most_frequent(load_model(out / "model"), data, splits)
    write_json(out / "results.json", found)
    return found


def _ways(model: Model, out: Path, language_model: TextModel | None, translation: bool) -> dict[str, dict[str, Any]]:
    """How a run's model is decoded: the names of ways, and the options of each."""
    import yaml

    from asr.models.decoding_options import DecodingOptions
    from asr.utils.config import from_dict
    from asr.utils.files import read_text

    decoder = model.config.decoder
    if translation:
        alone = {"search": "attention", "ctc_weight": 0.0, "length_norm": 1.0}
        return {"attention": {"search": "attention"}, "alone": alone}
    ctc = {} if language_model is None else {f"{language_model.order}-gram": "ctc"}
    searches = {**ctc, "attention": "attention", "two-pass": "two-pass"}
    if decoder.kind == "none":
        return {"greedy": {"greedy": True}, **{name: {} for name in ctc}}
    if not decoder.ctc_weight:
        searches = {"attention": "attention"}
    path, tuned = out / _TUNED, {}
    if path.is_file():
        for search, values in yaml.safe_load(read_text(path)).items():
            tuned[search] = vars(from_dict(DecodingOptions, values, where=path))
    greedy: dict[str, dict[str, Any]] = {"greedy": {"greedy": True}} if decoder.ctc_weight else {}
    return greedy | {name: tuned.get(search, {"search": search}) for name, search in searches.items()}


def add_language_model(out: Path, data: Path, settings: TextModel, steps: _Steps | None = None) -> None:
    """Gives the run's model an n-gram model, of phones a lexicon, and the decoding options that are best on dev."""
    from asr.lm.corpus import read_corpus
    from asr.lm.files import read_ngram, save_ngram
    from asr.lm.kneser_ney import EstimateOptions, estimate_ngram
    from asr.models.folder import load_model, save_model
    from asr.text.lexicon import Lexicon, write_lexicon
    from asr.text.pronunciations import pronounce
    from asr.text.tokenizer import PhoneTokenizer
    from asr.utils.files import read_text

    steps = steps or _Steps(out)
    model = load_model(out / "model")
    if model.head.lm is not None or (out / _TUNED).is_file():
        return
    if model.config.decoder.kind != "none" and not model.config.decoder.ctc_weight:
        _tune(out, data, steps, unit=settings.unit)  # which has no use for a language model of words
        return
    if settings.like is not None:
        other, head = load_model(settings.like).head, model.head
        head.lm, head.lexicon, head.decoding = other.lm, other.lexicon, other.decoding
        save_model(out / "model", model, read_text(out / "model" / "README.md"))
        return
    path, lexicon = out / "lm.safetensors", None
    if not path.is_file():
        with steps("language model"):
            where, texts = _texts(settings, data)
            corpus = read_corpus(_sentences(texts, model, settings.tokens), settings.words, where=where)
            save_ngram(estimate_ngram(corpus, EstimateOptions(order=settings.order)), path)
    if isinstance(model.tokenizer, PhoneTokenizer) and settings.texts:
        lexicon = out / "lexicon.txt"
        if not lexicon.is_file():
            with steps("lexicon"):
                spoken = model.config.tokenizer
                words = [word for word in read_ngram(path).words if not word.startswith("<")]
                found = pronounce(words, language=spoken.language, lexicon=spoken.lexicon or None, stress=spoken.stress)
                write_lexicon(found.lexicon, lexicon)
    elif settings.closed:
        lexicon = out / "lexicon.txt"
        write_lexicon(Lexicon.spelled(word for word in read_ngram(path).words if not word.startswith("<")), lexicon)
    if settings.options is not None:
        head = model.head
        head.lm, head.lexicon, head.decoding = path, lexicon, settings.options
        save_model(out / "model", model, read_text(out / "model" / "README.md"))
        return
    options: dict[str, Any] = {"lm": path, "lexicon": lexicon, "unit": settings.unit, "warps": settings.warps}
    _tune(out, data, steps, lm_unit="token" if settings.tokens else None, **options)


def _tune(out: Path, data: Path, steps: _Steps, **options: Any) -> None:
    """Finds the options that are best on dev, and keeps those of each search."""
    import yaml

    from asr.evaluate.tuning.tune import tune
    from asr.utils.config import to_dict
    from asr.utils.files import write_text

    with steps("tune"):
        tuned = tune(out / "model", data / "cuts_dev.jsonl.gz", progress=_told(), **options)
    found = {search: to_dict(options) for search, (options, _) in tuned.searches.items()}
    write_text(out / _TUNED, yaml.safe_dump(found, sort_keys=False))
    for search, (_, score) in tuned.searches.items():
        log.info("dev, tuned, %s: %s", search, score)


def _told() -> Callable[[int, int | None], None]:
    """A progress callback (decodings done, the most there can be) that logs a line a minute."""
    said, before = time.monotonic(), 0

    def tell(done: int, most: int | None) -> None:
        nonlocal said, before
        passed = time.monotonic() - said
        if passed >= 60 and most is not None and done > before:
            left = duration_words((most - done) * passed / (done - before))
            log.info("decoding %s of at most %s, at most %s left", f"{done:,}", f"{most:,}", left)
            said, before = time.monotonic(), done

    return tell


def _texts(settings: TextModel, data: Path) -> tuple[Path, Iterator[str]]:
    """The text that a language model is made of: its file, and its sentences."""
    from asr.data.cuts import read_cuts
    from asr.lm.lines import read_sentences
    from asr.utils.files import data_home

    for name in settings.texts:
        if (data_home() / name).is_file():
            return data_home() / name, read_sentences(data_home() / name)
    if settings.texts:
        log.warning("%s %s", _NO_TEXT, " and ".join(str(data_home() / name) for name in settings.texts))
    cuts = data / "cuts_train.jsonl.gz"
    return cuts, (utterance.text for utterance in read_cuts(cuts))


def _sentences(texts: Iterable[str], model: Model, tokens: bool) -> Iterator[str | list[str]]:
    """Texts as the model writes them; or their tokens, if asked for, and where no spaces part words."""
    normalize, tokenizer = model.normalizer(), model.tokenizer
    for text in map(normalize, texts):
        yield text if model.has_words and not tokens else [tokenizer.tokens[i] for i in tokenizer.encode_known(text)[0]]


def _most_frequent(model: Model, data: Path, splits: Sequence[str]) -> dict[str, Any]:
    """How often the most frequent text of the training stands there, and what always saying it would score."""
    from asr.data.cuts import read_cuts
    from asr.evaluate.translation import score_translations

    normalize = model.normalizer()
    of_split = {s: [normalize(u.text) for u in read_cuts(data / f"cuts_{s}.jsonl.gz")] for s in ("train", *splits)}
    text, times = Counter(of_split["train"]).most_common(1)[0]
    scores = {s: score_translations(of_split[s], [text] * len(of_split[s])).as_dict() for s in splits}
    return {"times": times, "scores": scores}


def results(config: Path, data: Path, out: Path, names: Sequence[str]) -> dict[str, Any]:
    """What a recipe's run came to: error rates of these names, by speaker too, and where they are from."""
    import yaml

    from asr.data.cuts import read_cuts
    from asr.utils.files import read_text

    settings = yaml.safe_load(read_text(out / "config.yaml"))
    facts = settings.pop("run")
    with suppress(ValueError):  # a name, or somewhere else
        settings["init_from"] = Path(settings["init_from"]).relative_to(Path.cwd()).as_posix()
    scores = {}
    for name in names:
        scores[name] = json.loads(read_text(out / "results" / name / "scores.json"))
        scores[name]["data"] = Path(scores[name]["data"]).name
    end = json.loads(read_text(out / "log.jsonl").splitlines()[-1])
    parts = {}
    for path in sorted(data.glob("cuts_*.jsonl.gz")):
        utterances = read_cuts(path)
        parts[path.name.removeprefix("cuts_").removesuffix(".jsonl.gz")] = {
            "utterances": len(utterances),
            "hours": round(sum(u.duration for u in utterances) / 3600, 3),
            "speakers": len({u.speaker for u in utterances if u.speaker}) or None,
        }
    return {
        "format": RESULTS_FORMAT,
        "config": config.name,
        "seed": settings["seed"],
        "settings": settings,
        "data": parts,
        "trained": {key: value for key, value in facts.items() if key != "data"},
        "best_epoch": end["best_epoch"],
        "seconds": {**_Steps(out).seconds, "train": end["seconds"]},
        "scores": scores,
    }


class _Steps:
    """How long each step took, over all of a recipe's calls: times.json. Callable: a step's name -> a context."""

    def __init__(self, out: Path) -> None:
        self.path = out / "times.json"
        self.seconds: dict[str, float] = {}
        if self.path.is_file():
            self.seconds = json.loads(self.path.read_text(encoding="utf-8"))

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        from asr.utils.files import make_folder, write_json

        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - started, 1)
            make_folder(self.path.parent)
            write_json(self.path, self.seconds)
