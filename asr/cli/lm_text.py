"""Texts of language models, as a recogniser writes them, and a line that tells how far reading is."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asr.cli.common import is_quiet, say
from asr.utils.device import configure_torch
from asr.utils.errors import InputError

if TYPE_CHECKING:
    from asr.models.model import Model


class ReadingProgress:
    """One line of a terminal that is rewritten; silent elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty() and not is_quiet()
        self._begun = time.monotonic()
        self._next = self._begun + 1  # time of the next line
        self._written = False

    def share(self, done: int, total: int) -> None:
        """Shows the share that is read and the time left, at most once a second; a total of 0 is unknown."""
        now = time.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + 1
        if total:
            left = (now - self._begun) * max(total - done, 0) / max(done, 1)
            self.stage(f"reading: {100 * min(done / total, 1):.0f} %, about {left:.0f} s left")
        else:
            self.stage(f"reading: {done / 1e6:.0f} MB")

    def stage(self, what: str) -> None:
        """Says what is being done."""
        if self._shown:
            print(f"\rasr: {what}\033[K", end="", file=sys.stderr, flush=True)
            self._written = True

    def clear(self) -> None:
        """Empties the line."""
        if self._written:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._written = False


def recogniser_of(model: Path | None) -> Model | None:
    if model is None:
        return None
    configure_torch()
    from asr.models.folder import load_model

    return load_model(model)


def tell_unwritten(words: Sequence[str], recogniser: Model) -> None:
    """Names words that the recogniser cannot hear: with characters that it never saw, or without pronunciation."""
    unwritten = [word for word in words if recogniser.tokenizer.encode_known(word)[1]]
    if unwritten:
        shown = ", ".join(unwritten[:5])
        say(f"asr: {len(unwritten):,} of the words {recogniser.name} cannot hear as it is ({shown})")


def sentences_of(
    paths: list[Path],
    recogniser: Model | None,
    unit: str | None,
    progress: ReadingProgress,
    said: Counter[str] | None = None,
) -> tuple[Iterator[str | Sequence[str]], list[str] | None]:
    """The sentences of texts as a recogniser writes them, and its tokens where they are the words."""
    if unit not in (None, "word", "token"):
        raise InputError(f"{unit!r} is not word or token", where="unit")
    for path in paths:
        if str(path) != "-" and not path.exists():
            raise InputError("no such file", where=path)
    lines = _lines(paths, progress)
    if recogniser is None:
        if unit == "token":
            raise InputError("tokens are those of a recogniser", where="unit", remedy="name it by --model")
        return iter(lines), None
    from asr.text.tokenizer import SPACE

    if unit == "token" or (unit is None and not recogniser.has_words):
        tokens = [t for t in recogniser.tokenizer.tokens[1:] if t == SPACE or not (t[0] == "<" and t[-1] == ">")]
        return _tokens(lines, recogniser, Counter() if said is None else said), tokens
    return _normalized(lines, recogniser), None


def _lines(paths: list[Path], progress: ReadingProgress) -> Iterator[str]:
    from asr.lm.lines import read_sentences

    packed = any(str(path) == "-" or path.suffix in (".gz", ".xz") for path in paths)
    total = 0 if packed else sum(path.stat().st_size for path in paths)
    done = 0
    for path in paths:
        for number, line in enumerate(read_sentences(path)):
            done += 1 + (len(line) if line.isascii() else len(line.encode()))
            if number % 1024 == 0:
                progress.share(done, total)
            yield line


def _normalized(lines: Iterable[str], recogniser: Model) -> Iterator[str]:
    """Lines as the recogniser's transcripts are written."""
    from asr.lm.lines import split_words

    normalizer = recogniser.normalizer()
    if recogniser.has_words:
        yield from map(normalizer, lines)
    else:  # it would join the words
        for line in lines:
            yield " ".join(filter(None, map(normalizer, split_words(line))))
    if changes := normalizer.report():
        say(f"asr: texts were written as {recogniser.name} has them: {', '.join(changes[:5])}")


def _tokens(lines: Iterable[str], recogniser: Model, said: Counter[str]) -> Iterator[list[str]]:
    """The recogniser's tokens of each line; words that were said, where there are spaces between them, are counted."""
    normalizer, tokenizer = recogniser.normalizer(), recogniser.tokenizer
    missing: Counter[str] = Counter()
    for line in lines:
        written = normalizer(line)
        ids, unknown = tokenizer.encode_known(written)
        if recogniser.has_words:
            said[""] += len(written.split())
        missing.update(unknown)
        yield [tokenizer.tokens[i] for i in ids]
    if missing:
        shown = ", ".join(f"{what!r}: {n}" for what, n in missing.most_common(5))
        say(f"asr: {sum(missing.values()):,} {tokenizer.unit} that {recogniser.name} lacks are left out ({shown})")
