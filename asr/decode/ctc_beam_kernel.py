"""The inner loop of CTC prefix beam search, compiled by numba: one utterance, without the interpreter lock.

A hypothesis is (history, node, last token):

    history   the words so far, a node of a tree whose nodes are unique: two paths to the same words meet
    node      the letters of the word that has begun: a node of the vocabulary's trie, or, beyond it, of a tree of
              spellings that grows as needed; 0 between words
    last      the token that a repetition would continue

with the probability of its paths that end in blank and of those that do not. Probabilities are linear doubles,
scaled to the best hypothesis frame by frame: they are added and multiplied, and a logarithm is taken once a frame.
They include the scores of language model, words and hot words: of the words so far, and for the word that has begun the
best that its beginning allows (look-ahead), which is replaced by the word's own at its end.

`asr.decode.ctc_beam` prepares what this file reads. T frames, V tokens, N trie nodes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from asr.numba_cache import jit

Array = Any  # NumPy arrays; numba wants no more

ORDINARY, SEPARATOR, INITIAL, NEVER = 0, 1, 2, 3  # kinds of tokens
SPACED, EAGER, UNITS = 0, 1, 2  # words end at boundaries | where the trie has one | every token is a word


class Vocabulary(NamedTuple):
    """What can be said. A token stands for letters; the trie is over letters."""

    mode: int
    open: bool  # words beyond the trie may be said
    size: int  # words; beyond them, a word is size + the node it ends at
    kind: Array  # int8 (V,)
    spelling_first: Array  # int32 (V + 1,): the letters of token v are spelling[first[v]:first[v + 1]]
    spelling: Array  # int32
    letter: Array  # int32 (N,), of the node
    parent: Array  # int32 (N,)
    first: Array  # int32 (N + 1,): children of node n are first[n]..first[n + 1] - 1, sorted by letter
    word_first: Array  # int32 (N + 1,): words that end at node n are words[word_first[n]:word_first[n + 1]]
    words: Array  # int32
    look_ahead: Array  # float64 (N,): natural log, the best score of a word below
    step: Array  # float64 (N,): exp(look_ahead of the node - that of its parent)


class LanguageModel(NamedTuple):
    """asr.lm.ngram's arrays; none of it is read where there is no model."""

    present: bool
    word: Array  # int32 (M,)
    log_prob: Array  # float32 (M,)
    link: Array  # int32 (M,)
    first: Array  # int32 (L + 1,)
    backoff: Array  # float32 (L,)
    ids: Array  # int32: the vocabulary's word -> the model's
    unk: int
    eos: int
    start: int


class Hotwords(NamedTuple):
    """Phrases as a tree of words with links to the longest suffix that begins a phrase (Aho and Corasick 1975)."""

    present: bool
    word: Array  # int32 (P,)
    first: Array  # int32 (P + 1,)
    link: Array  # int32 (P,)
    gain: Array  # float64 (P,): boosts of the phrases that end here
    credit: Array  # float64 (P,): given for a phrase that has begun, to be given back
    ids: Array  # int32: the vocabulary's word -> a phrase's word, or -1


class Weights(NamedTuple):
    """Numbers of the search; natural logarithms."""

    beam_size: int
    beam_floor: float  # exp(-beam_threshold)
    token_threshold: float
    lm_scale: float  # lm_weight * ln 10
    word_score: float
    unk_score: float
    oov_look_ahead: float  # of a word beyond the trie
    most_gain: float  # an upper bound of the score that a word can bring
    most_step: float  # an upper bound of the factor that a step within a word can bring


class Finals(NamedTuple):
    """Hypotheses at the end, best first; what they refer to."""

    total: Array  # float64 (H,)
    lm: Array  # float64 (H,)
    hotwords: Array  # float64 (H,)
    length: Array  # int32 (H,): words that the scores count
    history: Array  # int32 (H,)
    record: Array  # int32 (H,): the last token's
    end: Array  # int32 (H,): frame after the last token
    histories: Array  # int32 (histories, 5)
    records: Array  # int32 (records, 5)
    spellings: Array  # int32 (spellings, 2): parent, letter
    sizes: Array  # int64 (3,): histories, records and slots that memory was taken for


# Columns of histories (their scores: _DELTA ...), records, slots.
PARENT, WORD, _LM_STATE, _HOT_STATE, LENGTH = 0, 1, 2, 3, 4
_DELTA, _LM_SUM, _HOT_SUM = 0, 1, 2
PREVIOUS, TOKEN, START, PREVIOUS_END, OF_WORD = 0, 1, 2, 3, 4
_HISTORY, _NODE, _LAST, _BLANK_RECORD, _BLANK_END, _RECORD, _OLD_RECORD, _OLD_END, _SOURCE, _SOURCE_END = range(10)
_BLANK, _TOKEN, _NEW_BLANK, _NEW_TOKEN, _STRONGEST = range(5)
_NONE = -2

_MIX_1, _MIX_2, _MIX_3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_SHIFT = np.uint64(32)


@jit
def _hash(a: int, b: int, c: int, size: int) -> int:
    """A place in a table of `size`, a power of two."""
    h = np.uint64(a) * _MIX_1 ^ np.uint64(b) * _MIX_2 ^ np.uint64(c) * _MIX_3
    h = (h ^ (h >> _SHIFT)) * _MIX_1
    return np.int64((h >> _SHIFT) & np.uint64(size - 1))


@jit
def _grown_int(rows: Array, size: int) -> Array:
    grown = np.empty((size, rows.shape[1]), np.int32)
    grown[: len(rows)] = rows
    return grown


@jit
def _grown_float(rows: Array, size: int) -> Array:
    grown = np.empty((size, rows.shape[1]), np.float64)
    grown[: len(rows)] = rows
    return grown


@jit
def _find(values: Array, low: int, high: int, value: int) -> int:
    """The place of `value` in sorted values[low:high], or -1."""
    while high - low > 8:
        middle = (low + high) >> 1
        if values[middle] <= value:
            low = middle
        else:
            high = middle
    for i in range(low, high):
        if values[i] == value:
            return i
    return -1


@jit
def _pair_table(pairs: Array, n: int, size: int) -> Array:
    """A hash table of rows by their first two columns: place -> row + 1."""
    table = np.zeros(size, np.int32)
    for i in range(n):
        place = _hash(pairs[i, 0], pairs[i, 1], 0, size)
        while table[place]:
            place = (place + 1) & (size - 1)
        table[place] = i + 1
    return table


@jit
def _find_pair(table: Array, pairs: Array, a: int, b: int) -> int:
    """The row with columns (a, b), or -1 - the place where it belongs."""
    size = len(table)
    place = _hash(a, b, 0, size)
    while table[place]:
        i = table[place] - 1
        if pairs[i, 0] == a and pairs[i, 1] == b:
            return i
        place = (place + 1) & (size - 1)
    return -1 - place


@jit
def lm_score(lm: LanguageModel, state: int, word: int) -> tuple[float, int]:
    """log10 p(word | state) and the next state (asr.lm.ngram says how the arrays lie)."""
    score = 0.0
    while True:
        if state == 0:
            node = 1 + word
            break
        node = _find(lm.word, lm.first[state], lm.first[state + 1], word)
        if node >= 0:
            break
        score += lm.backoff[state]
        state = lm.link[state]
    score += lm.log_prob[node]
    if node < len(lm.backoff) and (lm.first[node + 1] > lm.first[node] or lm.backoff[node] != 0.0):
        return score, node
    return score, lm.link[node]


@jit
def _hot_step(hot: Hotwords, state: int, word: int) -> int:
    if word < 0:
        return 0
    while True:
        node = _find(hot.word, hot.first[state], hot.first[state + 1], word)
        if node >= 0:
            return node
        if state == 0:
            return 0
        state = hot.link[state]


@jit
def _set_history(
    rows: Array, scores: Array, i: int, parent: int, word: int, lm: LanguageModel, hot: Hotwords, weights: Weights
) -> None:
    """Row i becomes `parent` and a word more."""
    rows[i, PARENT], rows[i, WORD], rows[i, LENGTH] = parent, word, rows[parent, LENGTH] + 1
    delta = weights.word_score
    rows[i, _LM_STATE] = 0
    scores[i, _LM_SUM] = scores[parent, _LM_SUM]
    if lm.present:
        known = lm.ids[word] if word < len(lm.ids) else lm.unk
        score, state = lm_score(lm, rows[parent, _LM_STATE], known)
        rows[i, _LM_STATE] = state
        gained = weights.lm_scale * score + (weights.unk_score if known == lm.unk else 0.0)
        scores[i, _LM_SUM] += gained
        delta += gained
    rows[i, _HOT_STATE] = 0
    scores[i, _HOT_SUM] = scores[parent, _HOT_SUM]
    if hot.present:
        before = rows[parent, _HOT_STATE]
        after = _hot_step(hot, before, hot.ids[word] if word < len(hot.ids) else -1)
        rows[i, _HOT_STATE] = after
        scores[i, _HOT_SUM] += hot.gain[after]
        delta += hot.gain[after] + hot.credit[after] - hot.credit[before]
    scores[i, _DELTA] = delta


@jit
def _select(values: Array, n: int, k: int) -> float:
    """The k-th largest (from 1) of values[:n], whose order is lost."""
    low, high, k = 0, n - 1, k - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@jit
def _collect_records(records: Array, n: int, ints: Array, slots: int) -> int:
    """Keeps the records that a slot leads to, in their order, and tells the slots their new places; their number."""
    kept = np.zeros(n, np.int32)
    for i in range(slots):
        for column in (_BLANK_RECORD, _RECORD, _SOURCE):
            at = ints[i, column]
            while at >= 0 and not kept[at]:
                kept[at] = 1
                at = records[at, PREVIOUS]
    count = 0
    for at in range(n):
        if kept[at]:
            kept[at] = count
            records[count] = records[at]
            if records[count, PREVIOUS] >= 0:
                records[count, PREVIOUS] = kept[records[count, PREVIOUS]]
            count += 1
    for i in range(slots):
        for column in (_BLANK_RECORD, _RECORD, _SOURCE):
            if ints[i, column] >= 0:
                ints[i, column] = kept[ints[i, column]]
    return count


@jit
def _collect_words(
    histories: Array, scores: Array, n_histories: int, spellings: Array, n_spellings: int, ints: Array, n: int,
    trie_size: int, size: int,
) -> tuple[int, int]:  # fmt: skip
    """Keeps the histories and spellings that the beam's n hypotheses lead to; their numbers."""
    kept, spelt = np.zeros(n_histories, np.int32), np.zeros(n_spellings, np.int32)
    kept[0] = 1
    for i in range(n):
        at = ints[i, _HISTORY]
        while not kept[at]:
            kept[at] = 1
            at = histories[at, PARENT]
        at = ints[i, _NODE] - trie_size
        while at >= 0 and not spelt[at]:
            spelt[at] = 1
            at = spellings[at, 0] - trie_size
    for h in range(n_histories):
        at = histories[h, WORD] - size - trie_size if kept[h] else -1
        while at >= 0 and not spelt[at]:
            spelt[at] = 1
            at = spellings[at, 0] - trie_size
    spelt_count = 0
    for at in range(n_spellings):
        if spelt[at]:
            spelt[at] = spelt_count
            parent = spellings[at, 0] - trie_size
            spellings[spelt_count, 0] = trie_size + spelt[parent] if parent >= 0 else spellings[at, 0]
            spellings[spelt_count, 1] = spellings[at, 1]
            spelt_count += 1
    count = 0
    for h in range(n_histories):
        if kept[h]:
            kept[h] = count
            histories[count], scores[count] = histories[h], scores[h]
            if count:
                histories[count, PARENT] = kept[histories[count, PARENT]]
                at = histories[count, WORD] - size - trie_size
                if at >= 0:
                    histories[count, WORD] = size + trie_size + spelt[at]
            count += 1
    for i in range(n):
        ints[i, _HISTORY] = kept[ints[i, _HISTORY]]
        at = ints[i, _NODE] - trie_size
        if at >= 0:
            ints[i, _NODE] = trie_size + spelt[at]
    return count, spelt_count


@jit
def search(
    log_probs: Array, offset: Array, vocabulary: Vocabulary, lm: LanguageModel, hot: Hotwords, weights: Weights
) -> Finals:
    """Searches one utterance: log_probs float32 (T, V), of which `offset` float64 (V,) is subtracted."""
    mode, kind, word_first = vocabulary.mode, vocabulary.kind, vocabulary.word_first
    look_ahead, trie_size = vocabulary.look_ahead, len(vocabulary.letter)
    frames, vocab_size = log_probs.shape
    oov_step = np.exp(weights.oov_look_ahead)
    infinite = weights.token_threshold == np.inf

    histories, history_scores = np.empty((4096, 5), np.int32), np.empty((4096, 3), np.float64)
    for column, number in enumerate((-1, -1, lm.start, 0, 0)):
        histories[0, column] = number
    history_scores[0] = 0.0
    n_histories = 1
    history_table = _pair_table(histories, 1, 8192)
    spellings, n_spellings = np.empty((1024, 2), np.int32), 0
    spelling_table = np.zeros(2048, np.int32)
    records, n_records = np.empty((8192, 5), np.int32), 0

    ints, floats = np.empty((1024, 10), np.int32), np.zeros((1024, 5), np.float64)
    scores, scratch = np.empty(1024, np.float64), np.empty(1024, np.float64)
    slots, stamps, stamp = np.zeros(4096, np.int32), np.zeros(4096, np.int32), 0
    for column, number in enumerate((0, 0, 0, -1, 0, -1, -1, 0, _NONE, 0)):
        ints[0, column] = number
    floats[0, _BLANK] = 1.0
    n = 1  # hypotheses of the beam, the first rows of ints and floats
    only_blank = True  # no path ends in a token

    log_scale, inverse = 0.0, 1.0  # p = floats * inverse * exp(log_scale)
    probs = np.zeros(vocab_size, np.float64)
    chosen = np.empty(vocab_size, np.int32)

    for t in range(frames):
        # The tokens of this frame.
        top = -np.inf
        for v in range(vocab_size):
            value = log_probs[t, v] - offset[v]
            if value > top and kind[v] != NEVER:
                top = value
        if top == -np.inf:
            n = 0
            break
        n_chosen, strongest, boundaries = 0, 0.0, mode != SPACED
        floor = -np.inf if infinite else top - weights.token_threshold
        for v in range(1, vocab_size):
            value = log_probs[t, v] - offset[v]
            if value >= floor and value > -np.inf and kind[v] != NEVER:
                probs[v] = np.exp(value - top) * inverse
                strongest = max(strongest, probs[v])
                boundaries |= kind[v] != ORDINARY
                chosen[n_chosen] = v
                n_chosen += 1
        value = log_probs[t, 0] - offset[0]
        if n_chosen == 0:  # blank alone
            if not only_blank:
                for i in range(n):
                    blank, token = floats[i, _BLANK], floats[i, _TOKEN]
                    if token > blank:
                        ints[i, _BLANK_RECORD], ints[i, _BLANK_END] = ints[i, _RECORD], t
                    floats[i, _BLANK], floats[i, _TOKEN] = blank + token, 0.0
                only_blank = True
            log_scale += value
            continue
        blank_prob = np.exp(value - top) * inverse if value >= floor else 0.0
        log_scale += top
        only_blank = False

        # Every hypothesis stays as it is: a blank, or the last token once more.
        best, least = 0.0, np.inf
        stamp += 1
        mask = len(slots) - 1
        for i in range(n):
            blank, token, last = floats[i, _BLANK], floats[i, _TOKEN], ints[i, _LAST]
            ints[i, _OLD_RECORD], ints[i, _OLD_END] = ints[i, _BLANK_RECORD], ints[i, _BLANK_END]
            if token > blank:
                ints[i, _BLANK_RECORD], ints[i, _BLANK_END] = ints[i, _RECORD], t
            ints[i, _SOURCE] = _NONE
            new_blank, new_token = (blank + token) * blank_prob, token * probs[last]
            floats[i, _NEW_BLANK], floats[i, _NEW_TOKEN], floats[i, _STRONGEST] = new_blank, new_token, new_token
            score = new_blank + new_token
            best, least = max(best, score), min(least, score)
            place = _hash(ints[i, _HISTORY], ints[i, _NODE], last, len(slots))
            while stamps[place] == stamp:
                place = (place + 1) & mask
            slots[place], stamps[place] = i, stamp
        # What is below the worst of a full beam cannot enter it.
        cutoff = best * weights.beam_floor
        if n >= weights.beam_size:
            cutoff = max(cutoff, least)

        # And it may go on by a token.
        m = n
        for i in range(n):
            history, node, last = ints[i, _HISTORY], ints[i, _NODE], ints[i, _LAST]
            blank, both = floats[i, _BLANK], floats[i, _BLANK] + floats[i, _TOKEN]
            if not boundaries and both * strongest * weights.most_step < cutoff:
                continue
            here = weights.oov_look_ahead if node >= trie_size else look_ahead[node]
            most = np.exp(weights.most_gain - here) if boundaries else 0.0
            for k in range(n_chosen):
                v = chosen[k]
                mass = (blank if v == last else both) * probs[v]
                if mass == 0.0:
                    continue
                boundary = mode == SPACED and kind[v] != ORDINARY and node != 0
                squeezed = kind[v] == SEPARATOR and (
                    (mode == SPACED and node == 0)
                    or (mode == UNITS and (history == 0 or kind[histories[history, WORD]] == SEPARATOR))
                )
                # Where the token leads within the vocabulary.
                target, factor = 0, 1.0
                if mode != UNITS and kind[v] != SEPARATOR:
                    target = 0 if boundary else node
                    for at in range(vocabulary.spelling_first[v], vocabulary.spelling_first[v + 1]):
                        letter = vocabulary.spelling[at]
                        child = -1
                        if target < trie_size:
                            child = _find(
                                vocabulary.letter, vocabulary.first[target], vocabulary.first[target + 1], letter
                            )
                        if child < 0 and vocabulary.open:
                            if target < trie_size:
                                factor = (
                                    oov_step
                                    if target == 0
                                    else factor * np.exp(weights.oov_look_ahead - look_ahead[target])
                                )
                            found = _find_pair(spelling_table, spellings, target, letter)
                            if found < 0:
                                if n_spellings == len(spellings):
                                    spellings = _grown_int(spellings, 2 * n_spellings)
                                    spelling_table = _pair_table(spellings, n_spellings, 4 * n_spellings)
                                    found = _find_pair(spelling_table, spellings, target, letter)
                                spellings[n_spellings, 0], spellings[n_spellings, 1] = target, letter
                                spelling_table[-1 - found] = n_spellings + 1
                                found = n_spellings
                                n_spellings += 1
                            child = trie_size + found
                        elif child >= 0:
                            factor *= vocabulary.step[child]
                        target = child
                        if target < 0:
                            break
                    if target < 0:
                        continue
                ending = (boundary or mode == UNITS) and not squeezed
                bound = max(most, factor) if mode == EAGER else factor * most if ending else factor
                if mass * bound < cutoff:
                    continue

                # The words that may end: at a boundary those of the node one leaves, else those of the one reached.
                at_end = node if boundary else target
                low, high, alone = 0, 1, True
                if mode != UNITS and (ending or mode == EAGER) and at_end < trie_size:
                    low, high = word_first[at_end], word_first[at_end + 1]
                    alone = ending and low == high
                    if alone:
                        if not vocabulary.open:
                            continue
                        low, high = 0, 1
                for w in range(low - 1, high):
                    # w = low - 1: the word goes on; it has not ended.
                    goes_on = w < low
                    if goes_on:
                        if ending or (mode == EAGER and vocabulary.first[target] == vocabulary.first[target + 1]):
                            continue
                        to_history, to_node, to = history, target, mass * factor
                    else:
                        if not ending and mode != EAGER:
                            break
                        if mode == UNITS:
                            word = v
                        elif alone:
                            word = vocabulary.size + at_end  # one that the vocabulary lacks
                        else:
                            word = vocabulary.words[w]
                        found = _find_pair(history_table, histories, history, word)
                        if found < 0:
                            if n_histories == len(histories):
                                histories = _grown_int(histories, 2 * n_histories)
                                history_scores = _grown_float(history_scores, 2 * n_histories)
                                history_table = _pair_table(histories, n_histories, 4 * n_histories)
                                found = _find_pair(history_table, histories, history, word)
                            _set_history(histories, history_scores, n_histories, history, word, lm, hot, weights)
                            history_table[-1 - found] = n_histories + 1
                            found = n_histories
                            n_histories += 1
                        to_history, to_node = found, target if boundary else 0
                        to = mass * np.exp(history_scores[found, _DELTA] - here)
                        if mode == SPACED:
                            to *= factor  # of the word that begins with this token
                    if to < cutoff or to == 0.0:
                        continue

                    # It meets the hypothesis it leads to, or is one more.
                    place = _hash(to_history, to_node, v, len(slots))
                    slot = -1
                    while stamps[place] == stamp:
                        j = slots[place]
                        if ints[j, _HISTORY] == to_history and ints[j, _NODE] == to_node and ints[j, _LAST] == v:
                            slot = j
                            break
                        place = (place + 1) & mask
                    if slot < 0:
                        if m == len(ints):
                            ints, floats = _grown_int(ints, 2 * m), _grown_float(floats, 2 * m)
                            scores, scratch = np.empty(2 * m, np.float64), np.empty(2 * m, np.float64)
                            slots, stamps = np.zeros(8 * m, np.int32), np.zeros(8 * m, np.int32)
                            mask = len(slots) - 1
                            for j in range(m):
                                place = _hash(ints[j, _HISTORY], ints[j, _NODE], ints[j, _LAST], len(slots))
                                while stamps[place] == stamp:
                                    place = (place + 1) & mask
                                slots[place], stamps[place] = j, stamp
                            place = _hash(to_history, to_node, v, len(slots))
                            while stamps[place] == stamp:
                                place = (place + 1) & mask
                        slot = m
                        m += 1
                        slots[place], stamps[place] = slot, stamp
                        ints[slot, _HISTORY], ints[slot, _NODE], ints[slot, _LAST] = to_history, to_node, v
                        ints[slot, _BLANK_RECORD], ints[slot, _BLANK_END], ints[slot, _RECORD] = -1, 0, -1
                        ints[slot, _SOURCE] = _NONE
                        floats[slot, _NEW_BLANK] = floats[slot, _NEW_TOKEN] = floats[slot, _STRONGEST] = 0.0
                    floats[slot, _NEW_TOKEN] += to
                    if to > floats[slot, _STRONGEST]:  # the token is said now rather than before
                        floats[slot, _STRONGEST] = to
                        side = 6 if v == last else 3
                        ints[slot, _SOURCE], ints[slot, _SOURCE_END] = ints[i, side], ints[i, side + 1]

        # The best of them are the new beam.
        for k in range(n_chosen):
            probs[chosen[k]] = 0.0
        best = 0.0
        for i in range(m):
            scores[i] = floats[i, _NEW_BLANK] + floats[i, _NEW_TOKEN]
            best = max(best, scores[i])
        if best == 0.0:
            n = 0
            break
        cutoff = best * weights.beam_floor
        ties = m
        if m > weights.beam_size:
            above = 0
            for i in range(m):
                if scores[i] >= cutoff:
                    scratch[above] = scores[i]
                    above += 1
            if above > weights.beam_size:
                cutoff = _select(scratch, above, weights.beam_size)
                ties = weights.beam_size
                for i in range(m):
                    if scores[i] > cutoff:
                        ties -= 1
        if n_records + m > len(records):
            n_records = _collect_records(records, n_records, ints, m)
            if 2 * (n_records + m) > len(records):
                records = _grown_int(records, 2 * (n_records + m))
        n = 0
        for i in range(m):
            score = scores[i]
            if score < cutoff or score == 0.0:
                continue
            if score == cutoff:
                if ties <= 0:
                    continue
                ties -= 1
            if i != n:
                ints[n] = ints[i]
            floats[n, _BLANK], floats[n, _TOKEN] = floats[i, _NEW_BLANK], floats[i, _NEW_TOKEN]
            if ints[n, _SOURCE] != _NONE:
                history, node, v = ints[n, _HISTORY], ints[n, _NODE], ints[n, _LAST]
                of_word = histories[history, LENGTH]
                if mode != SPACED and node == 0:
                    of_word -= 1
                elif mode == SPACED and kind[v] == SEPARATOR:
                    of_word = -1
                records[n_records, PREVIOUS], records[n_records, PREVIOUS_END] = (
                    ints[n, _SOURCE],
                    ints[n, _SOURCE_END],
                )
                records[n_records, TOKEN], records[n_records, START], records[n_records, OF_WORD] = v, t, of_word
                ints[n, _RECORD] = n_records
                n_records += 1
            n += 1
        inverse = 1.0 / best
        log_scale += np.log(best)

        if 4 * n_histories > 3 * len(histories) or 4 * n_spellings > 3 * len(spellings):
            n_histories, n_spellings = _collect_words(
                histories, history_scores, n_histories, spellings, n_spellings, ints, n, trie_size, vocabulary.size
            )
            if 2 * n_histories > len(histories):
                histories = _grown_int(histories, 2 * len(histories))
                history_scores = _grown_float(history_scores, len(histories))
            if 2 * n_spellings > len(spellings):
                spellings = _grown_int(spellings, 2 * len(spellings))
            history_table = _pair_table(histories, n_histories, 2 * len(histories))
            spelling_table = _pair_table(spellings, n_spellings, 2 * len(spellings))

    # What the beam says.
    room = 0
    for i in range(n):
        node = ints[i, _NODE]
        room += 1 if node >= trie_size else max(1, word_first[node + 1] - word_first[node])
    total, lm_sum, hot_sum = np.empty(room, np.float64), np.empty(room, np.float64), np.empty(room, np.float64)
    history_of, record_of, end_of = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int32)
    length_of = np.empty(room, np.int32)
    strongest_of = np.empty(room, np.float64)
    if n_histories + room > len(histories):
        histories = _grown_int(histories, n_histories + room)
        history_scores = _grown_float(history_scores, n_histories + room)
        history_table = _pair_table(histories, n_histories, 2 * _power_of_two(n_histories + room))
    row_of = np.full(n_histories + room, -1, np.int32)
    rows = 0
    for complete in range(1, -1, -1):  # where no hypothesis is complete, their complete words
        for i in range(n):
            history, node = ints[i, _HISTORY], ints[i, _NODE]
            score = np.log((floats[i, _BLANK] + floats[i, _TOKEN]) * inverse) + log_scale
            record, end = ints[i, _BLANK_RECORD], ints[i, _BLANK_END]
            if floats[i, _TOKEN] > floats[i, _BLANK]:
                record, end = ints[i, _RECORD], frames
            low, high, alone = 0, 1, True
            if node != 0 and complete and node < trie_size:
                low, high = word_first[node], word_first[node + 1]
                alone = low == high
                if alone:
                    low, high = 0, 1
            if node != 0 and complete and (mode == EAGER or (alone and not vocabulary.open)):
                continue
            here = weights.oov_look_ahead if node >= trie_size else look_ahead[node]
            for w in range(low, high):
                final, value = history, score - here
                if node != 0 and complete:
                    word = vocabulary.size + node if alone else vocabulary.words[w]
                    final = _find_pair(history_table, histories, history, word)
                    if final < 0:
                        _set_history(histories, history_scores, n_histories, history, word, lm, hot, weights)
                        history_table[-1 - final] = n_histories + 1
                        final = n_histories
                        n_histories += 1
                    value += history_scores[final, _DELTA]
                ends = 0.0
                if lm.present and lm.eos >= 0:
                    ends = weights.lm_scale * lm_score(lm, histories[final, _LM_STATE], lm.eos)[0]
                value += ends
                if hot.present:
                    value -= hot.credit[histories[final, _HOT_STATE]]
                words = final
                if mode == UNITS and final and kind[histories[final, WORD]] == SEPARATOR:
                    words = histories[final, PARENT]  # a space at the end says nothing
                row = row_of[words]
                if row < 0:
                    row = row_of[words] = rows
                    rows += 1
                    history_of[row], total[row], strongest_of[row] = words, value, -np.inf
                else:
                    most = max(total[row], value)
                    total[row] = most + np.log(np.exp(total[row] - most) + np.exp(value - most))
                if value > strongest_of[row]:
                    strongest_of[row], record_of[row], end_of[row] = value, record, end
                    length_of[row] = histories[final, LENGTH]
                    lm_sum[row] = history_scores[final, _LM_SUM] + ends
                    hot_sum[row] = history_scores[final, _HOT_SUM]
        if rows:
            break
    order = np.argsort(-total[:rows], kind="mergesort")
    return Finals(
        total[:rows][order],
        lm_sum[:rows][order],
        hot_sum[:rows][order],
        length_of[:rows][order],
        history_of[:rows][order],
        record_of[:rows][order],
        end_of[:rows][order],
        histories[:n_histories],
        records[:n_records],
        spellings[:n_spellings],
        np.array([len(histories), len(records), len(ints)]),
    )


@jit
def _power_of_two(n: int) -> int:
    """The least one that is not below n."""
    power = 1
    while power < n:
        power *= 2
    return power


@jit
def trace(records: Array, record: int, end: int) -> Array:
    """The tokens of a hypothesis in order, int32 (U, 4): token, first frame, frame after the last, its word or -1."""
    n, at = 0, record
    while at >= 0:
        n, at = n + 1, records[at, PREVIOUS]
    tokens = np.empty((n, 4), np.int32)
    at = record
    for i in range(n - 1, -1, -1):
        tokens[i, 0], tokens[i, 1], tokens[i, 2] = records[at, TOKEN], records[at, START], end
        tokens[i, 3] = records[at, OF_WORD]
        at, end = records[at, PREVIOUS], records[at, PREVIOUS_END]
    return tokens


@jit
def words_of(histories: Array, history: int) -> Array:
    """The words of a history in order, int32."""
    words = np.empty(histories[history, LENGTH], np.int32)
    for i in range(len(words) - 1, -1, -1):
        words[i] = histories[history, WORD]
        history = histories[history, PARENT]
    return words


@jit
def word_posteriors(histories: Array, finals: Array, posteriors: Array, which: int) -> Array:
    """For each word of finals[which]: the posterior of the hypotheses that have it there, float64.

    The others are aligned to it word by word with the fewest edits. finals int32 (H,), posteriors float64 (H,).
    """
    longest = 2000  # words that are aligned; beyond, hypotheses count where they begin alike
    best = words_of(histories, finals[which])
    mass = np.zeros(len(best), np.float64)
    depth = np.full(len(histories), -1, np.int32)  # of the best one's own nodes
    node = finals[which]
    for i in range(len(best), -1, -1):
        depth[node] = i
        node = histories[node, PARENT]
    for h in range(len(finals)):
        node, length = finals[h], 0
        while depth[node] < 0:
            node, length = histories[node, PARENT], length + 1
        common = depth[node]
        mass[:common] += posteriors[h]
        rest = len(best) - common
        if length == 0 or rest == 0 or length > longest or rest > longest:
            continue
        other = words_of(histories, finals[h])[common:]
        edits = np.empty((rest + 1, length + 1), np.int32)
        edits[0] = np.arange(length + 1)
        edits[:, 0] = np.arange(rest + 1)
        for i in range(1, rest + 1):
            for j in range(1, length + 1):
                changed = edits[i - 1, j - 1] + (best[common + i - 1] != other[j - 1])
                edits[i, j] = min(changed, edits[i - 1, j] + 1, edits[i, j - 1] + 1)
        i, j = rest, length
        while i and j:
            same = best[common + i - 1] == other[j - 1]
            if edits[i, j] == edits[i - 1, j - 1] + (not same):
                if same:
                    mass[common + i - 1] += posteriors[h]
                i, j = i - 1, j - 1
            elif edits[i, j] == edits[i - 1, j] + 1:
                i -= 1
            else:
                j -= 1
    return mass
