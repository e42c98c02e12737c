"""What a CTC beam search must find, worked out twice without approximation: by enumeration, and by a prefix search.

Nothing here comes from the package: the two functions, `brute_force` and `prefix_search`, are written from the
definition and share only the scoring of a finished sequence and the lexicon that hot words are added to.

How a string of tokens (repetitions merged, blanks dropped) is read as words depends on `Task.mode`:

separator  Words stand between "<space>" tokens; those at the ends and repeated ones mean nothing. Without a lexicon a
           word is the concatenation of its tokens; with one, the tokens between two spaces must be a pronunciation,
           and every word that has it is a reading.
pieces     A token that begins with "▁" begins a word; so does the first token, marked or not. A word is the text of
           its tokens without the mark, and a word without text does not exist. With a lexicon, the text must be that
           of a pronunciation, and every word that has such a one is a reading.
lexicon    Every way to cut the whole string into pronunciations, and to choose a word for each, is a reading.
tokens     Every token is a word. "<space>" at the beginning and repeated means nothing; one at the end is seen by the
           LM, the word score and the hot words, and is not part of the result: the two variants are added.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

BLANK = 0
SPACE = "<space>"
MARK = "▁"
LN10 = math.log(10)
MOST_PATHS = 200_000

Words = tuple[str, ...]
Lexicon = dict[str, list[tuple[str, ...]]]


class LanguageModel(Protocol):
    def score(self, words: Sequence[str]) -> float:
        """log10 of the whole sentence, the end included."""

    def knows(self, word: str) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Task:
    tokens: list[str]  # token 0 is the blank
    mode: Literal["separator", "pieces", "lexicon", "tokens"]
    lm: LanguageModel | None = None
    lexicon: Lexicon | None = None
    hotwords: dict[Words, float] = field(default_factory=dict)
    lm_weight: float = 1.0
    word_score: float = 0.0
    unk_score: float = 0.0
    unk_letter_score: float = 0.0  # where any text may be a word
    prior_weight: float = 0.0
    log_prior: list[float] | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("separator", "pieces", "lexicon", "tokens"):
            raise ValueError(f"no such mode: {self.mode!r}")
        if len(set(self.tokens)) != len(self.tokens) or "" in self.tokens:
            raise ValueError("tokens must differ and not be empty")
        if self.mode == "pieces" and any(MARK in token[1:] for token in self.tokens):
            raise ValueError(f"{MARK!r} stands inside a token")
        if self.mode == "lexicon" and self.lexicon is None:
            raise ValueError("the mode 'lexicon' needs a lexicon")
        if self.mode == "tokens" and self.lexicon is not None:
            raise ValueError("the mode 'tokens' knows no lexicon")
        if any(not pronunciation for ways in (self.lexicon or {}).values() for pronunciation in ways):
            raise ValueError("a pronunciation is empty")
        if () in self.hotwords:
            raise ValueError("a hot phrase is empty")


@dataclass(frozen=True)
class Scores:
    """Natural logarithms; `total` is the sum of the others."""

    total: float
    acoustic: float
    lm: float
    words: float
    hotwords: float


# By enumeration ------------------------------------------------------------------------------------------------------


def brute_force(log_probs: Sequence[Sequence[float]], task: Task) -> dict[Words, Scores]:
    """Every result of finite total, from every path there is."""
    if len(task.tokens) ** len(log_probs) > MOST_PATHS:
        raise ValueError(f"{len(task.tokens)} ** {len(log_probs)} paths are too many to enumerate")
    of_string: dict[tuple[str, ...], list[float]] = {}
    for path in itertools.product(range(len(task.tokens)), repeat=len(log_probs)):
        log_p = sum(token_score(log_probs[t][token], token, task) for t, token in enumerate(path))
        if log_p > -math.inf:
            of_string.setdefault(tuple(task.tokens[token] for token in collapse(path)), []).append(log_p)
    of_sequence: dict[Words, list[float]] = {}
    for string, log_ps in of_string.items():
        for sequence in readings(string, task):
            of_sequence.setdefault(sequence, []).extend(log_ps)
    return finished({sequence: log_sum(log_ps) for sequence, log_ps in of_sequence.items()}, task)


def collapse(path: Iterable[int]) -> tuple[int, ...]:
    """Repetitions merged, then blanks dropped."""
    return tuple(token for token, _ in itertools.groupby(path) if token != BLANK)


def readings(string: Sequence[str], task: Task) -> list[Words]:
    """All readings of a whole token string, one entry for each (the mode "lexicon" can give the same words twice)."""
    lexicon = full_lexicon(task)
    if task.mode == "separator":
        stretches = split_at_spaces(string)
        if lexicon is None:
            return [tuple("".join(stretch) for stretch in stretches)]
        return list(
            itertools.product(*([word for word in lexicon if stretch in lexicon[word]] for stretch in stretches))
        )
    if task.mode == "pieces":
        # "▁" stands in no text, so that it can serve as the border between words.
        texts = [text for text in "".join(string).split(MARK) if text]
        if lexicon is None:
            return [tuple(texts)]
        spelled = {word: ["".join(way).replace(MARK, "") for way in ways] for word, ways in lexicon.items()}
        return list(itertools.product(*([word for word in spelled if text in spelled[word]] for text in texts)))
    if task.mode == "lexicon":
        assert lexicon is not None
        return list(cuts(tuple(string), lexicon))
    return [squeezed(string)]


def split_at_spaces(string: Sequence[str]) -> list[tuple[str, ...]]:
    groups = itertools.groupby(string, key=lambda token: token == SPACE)
    return [tuple(stretch) for is_space, stretch in groups if not is_space]


def cuts(string: tuple[str, ...], lexicon: Lexicon) -> Iterator[Words]:
    """Every way to cut `string` into pronunciations, as the words."""
    if not string:
        yield ()
    for end in range(1, len(string) + 1):
        for word, ways in lexicon.items():
            if string[:end] in ways:
                for rest in cuts(string[end:], lexicon):
                    yield (word, *rest)


def squeezed(string: Sequence[str]) -> Words:
    """Without the spaces at the beginning, and one space for several."""
    kept: list[str] = []
    for token in itertools.dropwhile(lambda token: token == SPACE, string):
        if token != SPACE or kept[-1] != SPACE:
            kept.append(token)
    return tuple(kept)


# By prefix search ----------------------------------------------------------------------------------------------------

Spelling = tuple[str, ...]
Prefix = tuple[Words, Spelling, int]  # the finished words, the spelling of the unfinished one, the last token


def prefix_search(log_probs: Sequence[Sequence[float]], task: Task) -> dict[Words, Scores]:
    """The same by a dynamic programme over frames that forgets no prefix.

    Prefixes that agree in their words, in the unfinished word and in the last token have the same future: they are
    one entry, of the log probabilities to have got there with a blank last and with a token last.
    """
    reader = _Reader(task)
    beam: dict[Prefix, tuple[float, float]] = {((), (), BLANK): (0.0, -math.inf)}
    for frame in log_probs:
        following: dict[Prefix, tuple[float, float]] = {}
        for prefix, (ends_blank, ends_token) in beam.items():
            words, spelling, last = prefix
            either = log_add(ends_blank, ends_token)
            _add(following, prefix, either + token_score(frame[BLANK], BLANK, task), -math.inf)
            for token in range(1, len(task.tokens)):
                score = token_score(frame[token], token, task)
                if token == last:
                    _add(following, prefix, -math.inf, ends_token + score)  # held on
                appended = (ends_blank if token == last else either) + score
                if appended > -math.inf:
                    for more_words, more_spelling in reader.append(words, spelling, task.tokens[token]):
                        _add(following, (more_words, more_spelling, token), -math.inf, appended)
        beam = {prefix: both for prefix, both in following.items() if max(both) > -math.inf}
    acoustic: dict[Words, float] = {}
    for (words, spelling, _), (ends_blank, ends_token) in beam.items():
        for sequence in reader.end(words, spelling):
            either = log_add(ends_blank, ends_token)
            acoustic[sequence] = log_add(acoustic.get(sequence, -math.inf), either)
    return finished(acoustic, task)


def _add(beam: dict[Prefix, tuple[float, float]], prefix: Prefix, ends_blank: float, ends_token: float) -> None:
    before = beam.get(prefix, (-math.inf, -math.inf))
    beam[prefix] = (log_add(before[0], ends_blank), log_add(before[1], ends_token))


class _Reader:
    """Reads a token string from left to right. Spellings are characters where any text may be a word, and in the mode
    "pieces"; elsewhere they are tokens."""

    def __init__(self, task: Task) -> None:
        self.mode = task.mode
        self.words_of: dict[Spelling, set[str]] | None = None
        self.beginnings: set[Spelling] = set()
        lexicon = full_lexicon(task)
        if lexicon is not None:
            self.words_of = {}
            for word, ways in lexicon.items():
                for way in ways:
                    spelling = way
                    if self.mode == "pieces":
                        spelling = tuple(c for token in way for c in token if c != MARK)
                    self.words_of.setdefault(spelling, set()).add(word)
            self.beginnings = {spelling[:n] for spelling in self.words_of for n in range(len(spelling) + 1)}

    def append(self, words: Words, spelling: Spelling, token: str) -> list[tuple[Words, Spelling]]:
        """What the words and the unfinished word can be once `token` follows them."""
        if self.mode == "tokens":
            unheard = token == SPACE and (not words or words[-1] == SPACE)
            return [(words if unheard else (*words, token), ())]
        if self.mode == "separator":
            if token == SPACE:
                return [(more_words, ()) for more_words in self.end(words, spelling)]
            return self._possible(words, spelling + ((token,) if self.words_of is not None else tuple(token)))
        if self.mode == "pieces":
            if not token.startswith(MARK):
                return self._possible(words, spelling + tuple(token))
            begun = tuple(token[len(MARK) :])
            return [pair for more_words in self.end(words, spelling) for pair in self._possible(more_words, begun)]
        assert self.words_of is not None
        longer = (*spelling, token)
        finished_here = [((*words, word), ()) for word in self.words_of.get(longer, ())]
        return [*finished_here, *self._possible(words, longer)]

    def end(self, words: Words, spelling: Spelling) -> list[Words]:
        """What the words can be if the unfinished one ends here."""
        if not spelling:
            return [words]
        if self.mode == "lexicon":
            return []  # that it ends here is another prefix
        if self.words_of is None:
            return [(*words, "".join(spelling))]
        return [(*words, word) for word in self.words_of.get(spelling, ())]

    def _possible(self, words: Words, spelling: Spelling) -> list[tuple[Words, Spelling]]:
        return [(words, spelling)] if self.words_of is None or spelling in self.beginnings else []


# Scores --------------------------------------------------------------------------------------------------------------


def log_add(a: float, b: float) -> float:
    low, high = min(a, b), max(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def log_sum(values: Sequence[float]) -> float:
    high = max(values)
    return high if high == -math.inf else high + math.log(math.fsum(math.exp(value - high) for value in values))


def token_score(log_prob: float, token: int, task: Task) -> float:
    return log_prob if task.log_prior is None else log_prob - task.prior_weight * task.log_prior[token]


def full_lexicon(task: Task) -> Lexicon | None:
    """The lexicon, with the hot words that it lacks spelled by their characters where all of these are tokens."""
    if task.lexicon is None or task.mode not in ("separator", "pieces"):
        return task.lexicon
    hot = {word for phrase in task.hotwords for word in phrase}
    added = {word: [tuple(word)] for word in hot if word not in task.lexicon and set(word) <= set(task.tokens)}
    return {**task.lexicon, **added}


def lm_part(sequence: Words, task: Task) -> float:
    if task.lm is None:
        return 0.0
    unknown = [word for word in sequence if not task.lm.knows(word)]
    part = task.lm_weight * LN10 * task.lm.score(sequence) + task.unk_score * len(unknown)
    if task.lexicon is None and task.mode != "tokens":
        listed = {word for phrase in task.hotwords for word in phrase}
        part += task.unk_letter_score * sum(len(word) for word in unknown if word not in listed)
    return part


def hotword_part(sequence: Words, task: Task) -> float:
    part = 0.0
    for phrase, boost in task.hotwords.items():
        starts = range(len(sequence) - len(phrase) + 1)
        part += boost * sum(sequence[start : start + len(phrase)] == phrase for start in starts)
    return part


def finished(acoustic: Mapping[Words, float], task: Task) -> dict[Words, Scores]:
    """The results, from the acoustic scores of sequences."""
    variants: dict[Words, list[Scores]] = {}
    for sequence, log_p in acoustic.items():
        parts = (log_p, lm_part(sequence, task), task.word_score * len(sequence), hotword_part(sequence, task))
        if sum(parts) > -math.inf:
            ends_in_space = task.mode == "tokens" and sequence[-1:] == (SPACE,)
            key = sequence[:-1] if ends_in_space else sequence
            variants.setdefault(key, []).append(Scores(sum(parts), *parts))
    return {words: _added(scores) for words, scores in variants.items()}


def _added(variants: list[Scores]) -> Scores:
    """One score of all variants, of which the best gives the parts other than the acoustic one."""
    if len(variants) == 1:
        return variants[0]
    best = max(variants, key=lambda scores: scores.total)
    total = log_sum([scores.total for scores in variants])
    return Scores(total, total - best.lm - best.words - best.hotwords, best.lm, best.words, best.hotwords)


# A language model ----------------------------------------------------------------------------------------------------


class TinyLM:
    """A back-off n-gram model: n-gram -> (log10 probability, log10 back-off weight)."""

    def __init__(self, order: int, ngrams: dict[tuple[str, ...], tuple[float, float]]) -> None:
        missing = {("<unk>",), ("<s>",), ("</s>",)} - set(ngrams)
        if missing:
            raise ValueError(f"not among the 1-grams: {sorted(missing)}")
        for ngram in ngrams:
            if not 1 <= len(ngram) <= order or (len(ngram) > 1 and ngram[:-1] not in ngrams):
                raise ValueError(f"{ngram} is too long, or its context is not listed")
        self.order = order
        self.ngrams = ngrams

    def knows(self, word: str) -> bool:
        return word != "<unk>" and (word,) in self.ngrams

    def score(self, words: Sequence[str]) -> float:
        sentence = ("<s>", *(word if self.knows(word) else "<unk>" for word in words), "</s>")
        return sum(self._log10(sentence[:n], sentence[n]) for n in range(1, len(sentence)))

    def _log10(self, history: tuple[str, ...], word: str) -> float:
        context = history[max(0, len(history) - (self.order - 1)) :]
        ngram = (*context, word)
        if ngram in self.ngrams:
            return self.ngrams[ngram][0]
        backoff = self.ngrams[context][1] if context in self.ngrams else 0.0
        return backoff + self._log10(context[1:], word)


def write_tiny_arpa(lm: TinyLM, path: str | Path) -> None:
    """Exactly `lm` as ARPA. The highest order has no back-off weights."""
    by_order = {n: {k: v for k, v in lm.ngrams.items() if len(k) == n} for n in range(1, lm.order + 1)}
    lines = ["\\data\\", *(f"ngram {n}={len(ngrams)}" for n, ngrams in by_order.items()), ""]
    for n, ngrams in by_order.items():
        lines.append(f"\\{n}-grams:")
        for ngram, (log_p, backoff) in ngrams.items():
            tail = f"\t{float(backoff)!r}" if n < lm.order else ""
            lines.append(f"{float(log_p)!r}\t{' '.join(ngram)}{tail}")
        lines.append("")
    Path(path).write_text("\n".join([*lines, "\\end\\", ""]), encoding="utf-8")


# Random cases --------------------------------------------------------------------------------------------------------


def random_lm(rng: random.Random, words: Sequence[str], order: int) -> TinyLM:
    """Knows `words`, each a 1-gram, and a random part of the longer n-grams, "<unk>" among their words."""

    def backoff(ngram: tuple[str, ...]) -> float:
        unused = len(ngram) == order or ngram[-1] == "</s>" or rng.random() < 0.2
        return 0.0 if unused else rng.uniform(-1.2, 0.3)

    ngrams: dict[tuple[str, ...], tuple[float, float]] = {("<s>",): (-99.0, backoff(("<s>",)))}
    following = ["<unk>", *words, "</s>"]
    for word in following:
        ngrams[(word,)] = (rng.uniform(-2.5, -0.1), backoff((word,)))
    for n in range(2, order + 1):
        for context in [ngram for ngram in ngrams if len(ngram) == n - 1 and ngram[-1] != "</s>"]:
            for word in following:
                ngram = (*context, word)
                if rng.random() < 0.4:
                    ngrams[ngram] = (rng.uniform(-2.0, -0.05), backoff(ngram))
    return TinyLM(order, ngrams)


TOKENS = {
    "separator": ["<blank>", "<space>", "a", "b", "ab"],
    "pieces": ["<blank>", "▁", "▁a", "a", "b"],
    "lexicon": ["<blank>", "a", "b", "c"],
    "tokens": ["<blank>", "a", "<space>", "b"],
}
LEXICONS: dict[str, Lexicon] = {
    "separator": {"ab": [("a", "b"), ("ab",)], "same": [("a", "b")], "A": [("a",)], "b": [("b",)], "ba": [("b", "a")]},
    "pieces": {"ab": [("▁a", "b")], "same": [("▁", "a", "b")], "A": [("a",)], "b": [("b",)], "ba": [("b", "▁a")]},
    "lexicon": {
        "v": [("a",), ("a", "b"), ("b", "a")],
        "w": [("a", "b")],
        "x": [("c",), ("b", "c", "b")],
        "y": [("b",)],
    },
}
VOCABULARIES = {
    "separator": ["a", "b", "ab", "ba", "same", "A"],
    "pieces": ["a", "b", "ab", "ba", "same", "A"],
    "lexicon": ["v", "w", "x", "y"],
    "tokens": ["a", "b", "<space>"],
}
NEW_HOTWORDS = {"separator": "bb", "pieces": "bb", "lexicon": "v", "tokens": "b"}  # "bb" is not in the lexicons


MODES = [  # each with and without a lexicon, where both may be
    ("separator", False),
    ("separator", True),
    ("pieces", False),
    ("pieces", True),
    ("lexicon", True),
    ("tokens", False),
]


def logs(*frames: tuple[float, ...]) -> list[list[float]]:
    """Log-probabilities of probabilities."""
    return [[math.log(p) if p else -math.inf for p in frame] for frame in frames]


def random_task(rng: random.Random, mode: Any, lexicon: bool, lm: bool, hotwords: bool, prior: bool) -> Task:
    vocabulary = VOCABULARIES[mode]
    task: dict[str, Any] = {"word_score": rng.uniform(-1, 1), "unk_score": rng.uniform(-2, 0)}
    task["unk_letter_score"] = -rng.random()
    if lexicon:
        task["lexicon"] = LEXICONS[mode]
    if lm:
        task["lm"] = random_lm(rng, rng.sample(vocabulary, len(vocabulary) - 1), rng.randint(1, 3))
        task["lm_weight"] = rng.uniform(0.2, 1.5)
    if hotwords:
        words = [*vocabulary, NEW_HOTWORDS[mode]]
        phrases = [(NEW_HOTWORDS[mode],), *(tuple(rng.choices(words, k=rng.randint(1, 3))) for _ in range(3))]
        task["hotwords"] = {phrase: rng.uniform(-1, 2) for phrase in phrases}
    if prior:
        task["prior_weight"] = rng.uniform(0, 1)
        task["log_prior"] = [math.log(rng.uniform(0.05, 1)) for _ in TOKENS[mode]]
    return Task(tokens=TOKENS[mode], mode=mode, **task)


def random_log_probs(rng: random.Random, frames: int, vocab: int, sharpness: float) -> list[list[float]]:
    """Each frame a log softmax of normal numbers times `sharpness`; now and then one token of a frame is impossible."""
    log_probs = []
    for _ in range(frames):
        logits = [rng.gauss(0, 1) * sharpness for _ in range(vocab)]
        if vocab > 1 and rng.random() < 0.15:
            logits[rng.randrange(vocab)] = -math.inf
        normaliser = log_sum(logits)
        log_probs.append([logit - normaliser for logit in logits])
    return log_probs
