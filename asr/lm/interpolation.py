"""Linear interpolation of n-gram models into one.

p(w | h) = sum over models m of weight(m) p_m(w | h) for every n-gram hw that one of the models has; back-off weights
are found anew, so that probabilities sum up to 1 (which moves them a little, the less the more n-grams the models have
in common). Weights are the most likely ones for a held-out text, by expectation
maximisation (Jelinek and Mercer, "Interpolated Estimation of Markov Source Parameters from Sparse Data", 1980).

The vocabulary is that of all models together. A word that a model lacks is one of those that its <unk> stands for: it
reads the word as <unk>, and shares out the probability of its <unk> among the words it lacks and <unk> by the unigram
probabilities of the models that have them (of <unk> the least). So each model is one of the whole vocabulary, and their
perplexities can be compared.

Shapes: V words of all models, N n-grams or words, K models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.lm.corpus import clean_sentences
from asr.lm.ngram import NgramModel, search_keys
from asr.lm.tree import ZERO, Doubles, Ints, Level, look_up, normalized, split_levels, states_after
from asr.utils.errors import InputError

_ROUNDS = 200  # of expectation maximisation
_SETTLED = 1e-5  # what weights may still change by
_LEAST = 1e-30  # of the share of a word in <unk>


@dataclass(frozen=True)
class Mixture:
    """Models made one.

    Args:
        model: The interpolated model.
        weights: Of each model; their sum is 1.
        perplexities: Of each model for the held-out text; empty where weights were given without one.
    """

    model: NgramModel
    weights: tuple[float, ...]
    perplexities: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Member:
    """A model as one of the whole vocabulary.

    Args:
        ids: (V,) its id of each word, that of <unk> for those it lacks.
        shares: (V,) log10 of each word's share in the probability of that id.
    """

    model: NgramModel
    ids: Ints
    shares: Doubles


def interpolate(
    models: Sequence[NgramModel],
    held_out: Iterable[str | Sequence[str]] | None = None,
    weights: Sequence[float] | None = None,
    where: str | Path = "held-out text",
) -> Mixture:
    """One model of several.

    Args:
        models: Two or more, of any orders and vocabularies.
        held_out: Sentences that none of the models is estimated on, to find the weights.
        weights: Those of the models, where they are known; they are scaled to sum up to 1.
        where: The held-out text's name, for messages.

    Raises:
        InputError: There are fewer than two models, they do not fit each other, the weights are none, or no word of
            the text is known to any.
    """
    if len(models) < 2:
        raise InputError("it takes two models or more", where="interpolation")
    for mark in ("<s>", "</s>"):
        if len({mark in model.index for model in models}) > 1:
            raise InputError(f"some of the models have {mark}, others do not", where="interpolation")
    words = _union(models)
    members = _members(models, words)
    perplexities: tuple[float, ...] = ()
    if held_out is not None:
        log_probs = _held_out(members, words, held_out, where)
        perplexities = tuple(float(10 ** -row.mean()) for row in log_probs)
        if weights is None:
            weights = _weights(log_probs)
    if weights is None:
        raise InputError("there is neither a held-out text nor weights", where="interpolation")
    if len(weights) != len(models) or min(weights) < 0 or not 0 < sum(weights) < np.inf:
        given = ", ".join(f"{weight:g}" for weight in weights)
        raise InputError(f"{given}: {len(models)} numbers are needed, none negative, not all 0", where="weights")
    scaled = np.array(weights, float) / sum(weights)
    return Mixture(_mixed(members, words, scaled), tuple(scaled.tolist()), perplexities)


def _union(models: Sequence[NgramModel]) -> list[str]:
    """All words, each once; <UNK> is <unk>."""
    named = ("<unk>" if word == "<UNK>" else word for model in models for word in model.words)
    return list(dict.fromkeys(named))


def _members(models: Sequence[NgramModel], words: list[str]) -> list[_Member]:
    ids = [np.array([model.id(word) for word in words], np.int64) for model in models]
    unk = words.index("<unk>")
    has = [i != model.unk for i, model in zip(ids, models, strict=True)]
    unigrams = [np.power(10.0, model.log_prob[1 + i].astype(float)) for i, model in zip(ids, models, strict=True)]
    sums, owners = np.sum([u * h for u, h in zip(unigrams, has, strict=True)], axis=0), np.sum(has, axis=0)
    typical = sums / np.maximum(owners, 1)
    typical[unk] = min(u[unk] for u in unigrams)
    members = []
    for model, i, h in zip(models, ids, has, strict=True):
        hidden = np.where(h, 0, np.maximum(typical, _LEAST))
        shares = np.where(h, 1.0, hidden / hidden.sum())
        members.append(_Member(model, i, np.log10(shares)))
    return members


def _held_out(
    members: list[_Member], words: list[str], sentences: Iterable[str | Sequence[str]], where: str | Path
) -> Doubles:
    """(K, N) log10 probabilities of the words (and ends) of a text."""
    index = {word: i for i, word in enumerate(words)}
    unk = index["<unk>"]
    marks = [[index[mark]] if mark in index else [] for mark in ("<s>", "</s>")]
    text: list[int] = []
    begins: list[int] = []
    for spoken in clean_sentences(sentences, where):
        begins.append(len(text))
        text += [*marks[0], *(index.get(word, unk) for word in spoken), *marks[1]]
    ids, starts = np.array(text, np.int64), np.array(begins, np.int64)
    counted = np.ones(ids.size, bool)
    if marks[0]:
        counted[starts] = False
    if not ((ids != unk) & counted & ~np.isin(ids, marks[1])).any():
        raise InputError("none of its words is known to any of the models", where=where)
    rows = [m.model.score_ids(m.ids[ids], starts)[0][counted] + m.shares[ids[counted]] for m in members]
    return np.array(rows)


def _weights(log_probs: Doubles) -> list[float]:
    """Weights that make a text likeliest, of the (K, N) log10 probabilities of its words."""
    probs = np.power(10.0, log_probs - log_probs.max(axis=0))
    weights = np.full(len(probs), 1 / len(probs))
    for _ in range(_ROUNDS):
        joint = weights[:, None] * probs
        new = (joint / joint.sum(axis=0)).mean(axis=1)
        change, weights = np.abs(new - weights).max(), new
        if change < _SETTLED:
            break
    return [float(weight) for weight in weights]


def _mixed(members: list[_Member], words: list[str], weights: Doubles) -> NgramModel:
    """The n-grams of all models, with interpolated probabilities."""
    vocab = len(words)
    index = {word: i for i, word in enumerate(words)}
    tables = [split_levels(m.model) for m in members]
    renamed = [np.array([index["<unk>" if w == "<UNK>" else w] for w in m.model.words], np.int64) for m in members]
    places: list[Ints] = [np.zeros(1, np.int64)] * len(members)  # of each model's n-grams among all of the order
    states: list[Ints] = [np.zeros(1, np.int64)] * len(members)  # of each model after each of all n-grams
    levels: list[Level] = []
    for n in range(max(m.model.order for m in members)):
        keys = {
            k: places[k][table[n].parent] * vocab + renamed[k][table[n].word]
            for k, table in enumerate(tables)
            if n < len(table)
        }
        union = np.unique(np.concatenate(list(keys.values())))
        parent, word = np.divmod(union, vocab)
        mixed = np.full(union.size, -np.inf)
        for k, (member, weight) in enumerate(zip(members, weights, strict=True)):
            log_probs, nodes = look_up(member.model, states[k][parent], member.ids[word])
            states[k] = states_after(member.model, nodes)
            places[k] = search_keys(union, keys[k]) if k in keys else places[k]
            with np.errstate(divide="ignore"):  # a weight of 0
                mixed = np.logaddexp(mixed, np.log(weight) + np.log(10) * (log_probs + member.shares[word]))
        log_prob = np.minimum(mixed / np.log(10), 0).astype(np.float32)
        if n == 0 and "<s>" in index:
            log_prob[index["<s>"]] = ZERO
        levels.append(Level(parent, word.astype(np.int32), log_prob, np.zeros_like(log_prob)))
    return normalized(words, levels)
