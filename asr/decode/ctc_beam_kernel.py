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
    # What spares the search most of its work:
    has: Array  # int64 (N,): bit l % 64 is set where a child has letter l
    ahead: Array  # float64 (N,): of the factor that a token within a word brings
    release: Array  # float64 (N,): of the factor that the end of a word brings; (V,) where every token is a word


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
    oov_release: float  # Vocabulary.release of a word beyond the trie


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


class State(NamedTuple):
    """The memory of a search. Rows of `histories` and `spellings` are found by their first two columns."""

    ints: Array  # int32 (slots, 10): hypotheses of the beam, and in a frame those that may become the next beam
    floats: Array  # float64 (slots, 5)
    scores: Array  # float64 (slots,)
    scratch: Array  # float64 (slots,)
    bounds: Array  # float64 (slots,)
    able: Array  # int32 (slots,)
    slots: Array  # int32: hash table of the slots in a frame
    stamps: Array  # int32: the frame in which the place was taken
    histories: Array  # int32 (histories, 5)
    history_scores: Array  # float64 (histories, 5)
    history_table: Array  # int32: hash table, row + 1
    spellings: Array  # int32 (spellings, 2): parent and letter of the nodes beyond the trie
    spelling_table: Array  # int32
    records: Array  # int32 (records, 5): tokens that were said, and when


# Columns of histories (their scores: _DELTA ...), records, slots.
PARENT, WORD, _LM_STATE, _HOT_STATE, LENGTH = 0, 1, 2, 3, 4
_DELTA, _LM_SUM, _HOT_SUM, _REPLACED, _FACTOR = range(5)
PREVIOUS, TOKEN, START, PREVIOUS_END, OF_WORD = 0, 1, 2, 3, 4
_HISTORY, _NODE, _LAST, _BLANK_RECORD, _BLANK_END, _RECORD, _OLD_RECORD, _OLD_END, _SOURCE, _SOURCE_END = range(10)
_BLANK, _TOKEN, _NEW_BLANK, _NEW_TOKEN, _STRONGEST = range(5)
_NONE = -2
_HISTORIES, _SPELLINGS, _RECORDS, _STAMP = range(4)  # what is counted

_MIX_1, _MIX_2, _MIX_3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_SHIFT = np.uint64(32)


@jit
def _hash(a: int, b: int, c: int, size: int) -> Any:
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
def lm_score(lm: LanguageModel, state: int, word: int) -> tuple[float, int]:
    """log10 p(word | state) and the next state (asr.lm.ngram says how the arrays lie)."""
    words, first, backoff, link = lm.word, lm.first, lm.backoff, lm.link
    score, node = 0.0, 1 + word
    while state:
        node = _find(words, first[state], first[state + 1], word)
        if node >= 0:
            break
        score += backoff[state]
        state, node = link[state], 1 + word
    score += lm.log_prob[node]
    if node < len(backoff) and (first[node + 1] > first[node] or backoff[node] != 0.0):
        return score, node
    return score, link[node]


@jit
def _hot_step(hot: Hotwords, state: int, word: int) -> int:
    words, first, link = hot.word, hot.first, hot.link
    while word >= 0:
        node = _find(words, first[state], first[state + 1], word)
        if node >= 0:
            return node
        if state == 0:
            break
        state = link[state]
    return 0


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
    scores[i, _DELTA], scores[i, _REPLACED], scores[i, _FACTOR] = delta, 0.0, np.exp(delta)


@jit
def _sort_by(items: Array, n: int, keys: Array) -> None:
    """Puts items[:n] in the order of keys[item], greatest first."""
    if n > 64:
        items[:n] = items[:n][np.argsort(-keys[items[:n]], kind="mergesort")]
        return
    for i in range(1, n):
        item = items[i]
        j = i - 1
        while j >= 0 and keys[items[j]] < keys[item]:
            items[j + 1] = items[j]
            j -= 1
        items[j + 1] = item


@jit
def _select(values: Array, n: int, k: int) -> Any:
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
def _collect_words(state: State, counts: Array, n: int, trie_size: int, size: int) -> None:
    """Keeps the histories and spellings that the beam's n hypotheses lead to, in their order."""
    histories, scores, spellings, ints = state.histories, state.history_scores, state.spellings, state.ints
    n_histories, n_spellings = counts[_HISTORIES], counts[_SPELLINGS]
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
            histories[count] = histories[h]
            scores[count] = scores[h]
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
    counts[_HISTORIES], counts[_SPELLINGS] = count, spelt_count


@jit
def _extend(
    state: State,
    counts: Array,
    n: int,
    chosen: Array,
    n_chosen: int,
    probs: Array,
    blank_prob: float,
    vocabulary: Vocabulary,
    lm: LanguageModel,
    hot: Hotwords,
    weights: Weights,
) -> int:
    """What the n hypotheses of the beam become in a frame: slots 0 to n - 1 as they are, further ones by a token more.

    The number of slots, or -1 where the memory does not suffice: the frame is then begun anew with more. No array is
    assigned to a name twice here: numba would count references in every turn of the loops, which took most of the time.
    """
    mode, kind, is_open, size = vocabulary.mode, vocabulary.kind, vocabulary.open, vocabulary.size
    spelling_first, spelling = vocabulary.spelling_first, vocabulary.spelling
    letters, first, has, trie_size = vocabulary.letter, vocabulary.first, vocabulary.has, len(vocabulary.letter)
    word_first, words = vocabulary.word_first, vocabulary.words
    look_ahead, step = vocabulary.look_ahead, vocabulary.step
    ahead, release = vocabulary.ahead, vocabulary.release
    beam_size, beam_floor = weights.beam_size, weights.beam_floor
    oov_look_ahead, oov_release = weights.oov_look_ahead, weights.oov_release
    ints, floats, scores, scratch, bounds = state.ints, state.floats, state.scores, state.scratch, state.bounds
    able = state.able
    slots, stamps = state.slots, state.stamps
    histories, history_scores, history_table = state.histories, state.history_scores, state.history_table
    spellings, spelling_table = state.spellings, state.spelling_table

    # Every hypothesis stays as it is: a blank, or the last token once more.
    best, least = 0.0, np.inf
    for i in range(n):
        blank, token = floats[i, _BLANK], floats[i, _TOKEN]
        ints[i, _SOURCE] = _NONE
        new_blank, new_token = (blank + token) * blank_prob, token * probs[ints[i, _LAST]]
        floats[i, _NEW_BLANK], floats[i, _NEW_TOKEN], floats[i, _STRONGEST] = new_blank, new_token, new_token
        scores[i] = new_blank + new_token
        best, least = max(best, scores[i]), min(least, scores[i])
    # What is below the worst of a full beam cannot enter it; the cutoff rises as hypotheses come.
    cutoff = best * beam_floor
    if n >= beam_size:
        cutoff = max(cutoff, least)

    # And it may go on by a token, the likely ones first.
    m, rise_at, met, stamp, mask = n, n + beam_size, False, 0, len(slots) - 1
    farthest = 0.0
    for i in range(n):
        node = ints[i, _NODE]
        bounds[i] = floats[i, _BLANK] + floats[i, _TOKEN]
        if mode != UNITS and node < trie_size:
            bounds[i] *= ahead[node]
        farthest = max(farthest, bounds[i])
    _sort_by(chosen, n_chosen, probs)
    for k in range(n_chosen):
        v = chosen[k]
        prob, plain = probs[v], mode != UNITS and kind[v] == ORDINARY
        if plain and farthest * prob < cutoff:
            continue
        n_able = 0
        for i in range(n):  # a loop of its own is many times as fast as the test alone within the next
            able[n_able] = i
            n_able += 1 if not plain or bounds[i] * prob >= cutoff else 0
        for a in range(n_able):
            i = able[a]
            history, node, last = ints[i, _HISTORY], ints[i, _NODE], ints[i, _LAST]
            mass = floats[i, _BLANK] * prob
            if v != last:
                mass += floats[i, _TOKEN] * prob
            squeezed, boundary, bound = False, False, mass  # a space after a space; the end of a word
            if mode == UNITS:
                squeezed = kind[v] == SEPARATOR and (history == 0 or kind[histories[history, WORD]] == SEPARATOR)
                if not squeezed:
                    bound = mass * release[v]
            elif kind[v] != ORDINARY:
                squeezed = kind[v] == SEPARATOR and node == 0
                boundary = mode == SPACED and node != 0
                if boundary:
                    bound *= oov_release if node >= trie_size else release[node]
                if kind[v] == INITIAL:
                    bound *= ahead[0]
            if mass == 0.0 or bound < cutoff:
                continue

            # Where the token leads within the vocabulary.
            here = oov_look_ahead if node >= trie_size else look_ahead[node]
            target, factor = 0, 1.0
            if mode != UNITS and kind[v] != SEPARATOR:
                target = 0 if boundary else node
                for at in range(spelling_first[v], spelling_first[v + 1]):
                    letter, child = spelling[at], -1
                    if target < trie_size and has[target] >> (letter & 63) & 1:
                        low, high = first[target], first[target + 1]
                        while high - low > 8:
                            middle = (low + high) >> 1
                            if letters[middle] <= letter:
                                low = middle
                            else:
                                high = middle
                        while low < high and letters[low] != letter:
                            low += 1
                        child = low if low < high else -1
                    if child >= 0:
                        factor *= step[child]
                    elif is_open:
                        if target < trie_size:
                            factor *= np.exp(oov_look_ahead - look_ahead[target])
                        place = _hash(target, letter, 0, len(spelling_table))
                        child = spelling_table[place] - 1
                        while child >= 0 and (spellings[child, 0] != target or spellings[child, 1] != letter):
                            place = (place + 1) & (len(spelling_table) - 1)
                            child = spelling_table[place] - 1
                        if child < 0:
                            child = counts[_SPELLINGS]
                            if child == len(spellings):
                                return -1
                            spellings[child, 0], spellings[child, 1] = target, letter
                            spelling_table[place] = child + 1
                            counts[_SPELLINGS] += 1
                        child += trie_size
                    target = child
                    if target < 0:
                        break
                if target < 0:
                    continue

            # What it leads to: words that end (at a boundary those of the node one leaves, else those of the node
            # one reaches), and, without a boundary, the word that goes on.
            ending = (boundary or mode == UNITS) and not squeezed
            at_end = node if boundary else target
            low, high, alone = 0, 0, False
            if mode == UNITS or (ending and at_end >= trie_size):
                high, alone = 1 if ending else 0, True
            elif ending or (mode == EAGER and target):
                low, high = word_first[at_end], word_first[at_end + 1]
                if ending and low == high and is_open:
                    low, high, alone = 0, 1, True
            goes_on = not ending and not (mode == EAGER and first[target] == first[target + 1])
            for w in range(low - 1 if goes_on else low, high):
                to_history, to_node, to = history, target, mass * factor
                if w >= low:
                    word = v if mode == UNITS else size + at_end if alone else words[w]
                    place = _hash(history, word, 0, len(history_table))
                    to_history = history_table[place] - 1
                    while to_history >= 0 and (
                        histories[to_history, PARENT] != history or histories[to_history, WORD] != word
                    ):
                        place = (place + 1) & (len(history_table) - 1)
                        to_history = history_table[place] - 1
                    if to_history < 0:
                        to_history = counts[_HISTORIES]
                        if to_history == len(histories):
                            return -1
                        _set_history(histories, history_scores, to_history, history, word, lm, hot, weights)
                        history_table[place] = to_history + 1
                        counts[_HISTORIES] += 1
                    to_node = target if boundary else 0
                    if (
                        history_scores[to_history, _REPLACED] != here
                    ):  # almost always it is: exp() took a quarter of the time
                        history_scores[to_history, _REPLACED] = here
                        history_scores[to_history, _FACTOR] = np.exp(history_scores[to_history, _DELTA] - here)
                    to = mass * history_scores[to_history, _FACTOR]
                    if boundary:
                        to *= factor  # of the word that begins with this token
                if to < cutoff or to == 0.0:
                    continue

                # It meets the hypothesis it leads to, or is one more.
                if not met:
                    counts[_STAMP] += 1
                    stamp, met = counts[_STAMP], True
                    for j in range(n):
                        place = _hash(ints[j, _HISTORY], ints[j, _NODE], ints[j, _LAST], len(slots))
                        while stamps[place] == stamp:
                            place = (place + 1) & mask
                        slots[place], stamps[place] = j, stamp
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
                        return -1
                    slot = m
                    m += 1
                    slots[place], stamps[place] = slot, stamp
                    ints[slot, _HISTORY], ints[slot, _NODE], ints[slot, _LAST] = to_history, to_node, v
                    ints[slot, _BLANK_RECORD], ints[slot, _BLANK_END], ints[slot, _RECORD] = -1, 0, -1
                    ints[slot, _SOURCE] = _NONE
                    floats[slot, _NEW_BLANK] = floats[slot, _NEW_TOKEN] = floats[slot, _STRONGEST] = 0.0
                    scores[slot] = 0.0
                floats[slot, _NEW_TOKEN] += to
                scores[slot] += to
                if to > floats[slot, _STRONGEST]:  # the token is said now rather than before
                    floats[slot, _STRONGEST] = to
                    side = _OLD_RECORD if v == last else _BLANK_RECORD
                    ints[slot, _SOURCE], ints[slot, _SOURCE_END] = ints[i, side], ints[i, side + 1]
                if m == rise_at:
                    scratch[:m] = scores[:m]
                    cutoff = max(cutoff, _select(scratch, m, beam_size))
                    rise_at += beam_size
    return m


@jit
def _new_state(start: int) -> State:
    """Memory for a while, with the one hypothesis that nothing was said: slot 0, history 0."""
    histories, history_scores = np.zeros((4096, 5), np.int32), np.zeros((4096, 5), np.float64)
    histories[0, PARENT], histories[0, WORD], histories[0, _LM_STATE] = -1, -1, start
    ints, floats = np.zeros((1024, 10), np.int32), np.zeros((1024, 5), np.float64)
    ints[0, _BLANK_RECORD], ints[0, _RECORD], ints[0, _OLD_RECORD], ints[0, _SOURCE] = -1, -1, -1, _NONE
    floats[0, _BLANK] = 1.0
    return State(
        ints,
        floats,
        np.empty(1024),
        np.empty(1024),
        np.empty(1024),
        np.empty(1024, np.int32),
        np.zeros(4096, np.int32),
        np.zeros(4096, np.int32),
        histories,
        history_scores,
        _pair_table(histories, 1, 8192),
        np.empty((1024, 2), np.int32),
        np.zeros(2048, np.int32),
        np.empty((8192, 5), np.int32),
    )


@jit
def _resized(state: State, counts: Array, slots: int, histories: int, spellings: int, records: int) -> State:
    """The state with memory for as many rows, powers of two; its hash tables made anew."""
    rows = len(state.ints)
    if slots > rows:
        grown = np.empty(slots)
        grown[:rows] = state.scores
        state = State(
            _grown_int(state.ints, slots),
            _grown_float(state.floats, slots),
            grown,
            np.empty(slots),
            np.empty(slots),
            np.empty(slots, np.int32),
            np.zeros(4 * slots, np.int32),
            np.zeros(4 * slots, np.int32),
            state.histories,
            state.history_scores,
            state.history_table,
            state.spellings,
            state.spelling_table,
            state.records,
        )
    history_rows = _grown_int(state.histories, max(histories, len(state.histories)))
    spelling_rows = _grown_int(state.spellings, max(spellings, len(state.spellings)))
    return State(
        state.ints,
        state.floats,
        state.scores,
        state.scratch,
        state.bounds,
        state.able,
        state.slots,
        state.stamps,
        history_rows,
        _grown_float(state.history_scores, len(history_rows)),
        _pair_table(history_rows, counts[_HISTORIES], 2 * len(history_rows)),
        spelling_rows,
        _pair_table(spelling_rows, counts[_SPELLINGS], 2 * len(spelling_rows)),
        _grown_int(state.records, max(records, len(state.records))),
    )


@jit
def _prune(state: State, counts: Array, m: int, t: int, vocabulary: Vocabulary, weights: Weights) -> tuple[int, float]:
    """The best of m slots are the new beam: their number, and the best one's probability."""
    ints, floats, scores, scratch = state.ints, state.floats, state.scores, state.scratch
    histories, records, kind, mode = state.histories, state.records, vocabulary.kind, vocabulary.mode
    best = 0.0
    for i in range(m):
        best = max(best, scores[i])
    cutoff, ties = best * weights.beam_floor, m
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
    n, n_records = 0, counts[_RECORDS]
    for i in range(m):
        score = scores[i]
        if score < cutoff or score == 0.0:
            continue
        if score == cutoff:
            if ties <= 0:
                continue
            ties -= 1
        if i != n:
            for column in range(ints.shape[1]):
                ints[n, column] = ints[i, column]
        floats[n, _BLANK], floats[n, _TOKEN] = floats[i, _NEW_BLANK], floats[i, _NEW_TOKEN]
        if ints[n, _SOURCE] != _NONE:
            v, of_word = ints[n, _LAST], histories[ints[n, _HISTORY], LENGTH]
            if mode != SPACED and ints[n, _NODE] == 0:
                of_word -= 1
            elif mode == SPACED and kind[v] == SEPARATOR:
                of_word = -1
            records[n_records, PREVIOUS], records[n_records, PREVIOUS_END] = ints[n, _SOURCE], ints[n, _SOURCE_END]
            records[n_records, TOKEN], records[n_records, START], records[n_records, OF_WORD] = v, t, of_word
            ints[n, _RECORD] = n_records
            n_records += 1
        n += 1
    counts[_RECORDS] = n_records
    return n, best


@jit
def search(
    log_probs: Array, offset: Array, vocabulary: Vocabulary, lm: LanguageModel, hot: Hotwords, weights: Weights
) -> Finals:
    """Searches one utterance: log_probs float32 (T, V), of which `offset` float64 (V,) is subtracted."""
    kind, (frames, vocab_size) = vocabulary.kind, log_probs.shape
    state, counts = _new_state(lm.start), np.zeros(4, np.int64)
    counts[_HISTORIES] = 1
    n, only_blank = 1, True  # hypotheses of the beam; whether no path ends in a token
    log_scale, inverse = 0.0, 1.0  # probabilities are floats * inverse * exp(log_scale)
    probs, chosen = np.zeros(vocab_size), np.empty(vocab_size, np.int32)
    for t in range(frames):
        # The tokens of this frame.
        top = -np.inf
        for v in range(vocab_size):
            if kind[v] != NEVER:
                top = max(top, log_probs[t, v] - offset[v])
        if top == -np.inf:
            n = 0
            break
        floor = -np.inf if weights.token_threshold == np.inf else top - weights.token_threshold
        n_chosen = 0
        for v in range(1, vocab_size):
            value = log_probs[t, v] - offset[v]
            if value >= floor and value > -np.inf and kind[v] != NEVER:
                probs[v] = np.exp(value - top) * inverse
                chosen[n_chosen] = v
                n_chosen += 1
        ints, floats = state.ints, state.floats
        blank_value = log_probs[t, 0] - offset[0]
        if n_chosen == 0 and only_blank:
            log_scale += blank_value
            continue
        for i in range(n):
            ints[i, _OLD_RECORD], ints[i, _OLD_END] = ints[i, _BLANK_RECORD], ints[i, _BLANK_END]
            if floats[i, _TOKEN] > floats[i, _BLANK]:
                ints[i, _BLANK_RECORD], ints[i, _BLANK_END] = ints[i, _RECORD], t
        only_blank = n_chosen == 0
        if only_blank:
            for i in range(n):
                floats[i, _BLANK], floats[i, _TOKEN] = floats[i, _BLANK] + floats[i, _TOKEN], 0.0
            log_scale += blank_value
            continue

        blank_prob = np.exp(blank_value - top) * inverse if blank_value >= floor else 0.0
        m = _extend(state, counts, n, chosen, n_chosen, probs, blank_prob, vocabulary, lm, hot, weights)
        while m < 0:
            rows = len(state.ints)
            more_histories, more_spellings = len(state.histories), len(state.spellings)
            if counts[_HISTORIES] == more_histories:
                more_histories *= 2
            elif counts[_SPELLINGS] == more_spellings:
                more_spellings *= 2
            else:
                rows *= 2
            state = _resized(state, counts, rows, more_histories, more_spellings, 0)
            m = _extend(state, counts, n, chosen, n_chosen, probs, blank_prob, vocabulary, lm, hot, weights)
        for k in range(n_chosen):
            probs[chosen[k]] = 0.0
        if counts[_RECORDS] + m > len(state.records):
            counts[_RECORDS] = _collect_records(state.records, counts[_RECORDS], state.ints, m)
            if 2 * (counts[_RECORDS] + m) > len(state.records):
                state = _resized(state, counts, 0, 0, 0, 2 * (counts[_RECORDS] + m))
        n, best = _prune(state, counts, m, t, vocabulary, weights)
        if n == 0:
            break
        inverse = 1.0 / best
        log_scale += top + np.log(best)
        if 4 * counts[_HISTORIES] > 3 * len(state.histories) or 4 * counts[_SPELLINGS] > 3 * len(state.spellings):
            _collect_words(state, counts, n, len(vocabulary.letter), vocabulary.size)
            state = _resized(
                state,
                counts,
                0,
                len(state.histories) * (2 if 2 * counts[_HISTORIES] > len(state.histories) else 1),
                len(state.spellings) * (2 if 2 * counts[_SPELLINGS] > len(state.spellings) else 1),
                0,
            )
    return _finish(state, counts, n, log_scale + np.log(inverse), frames, vocabulary, lm, hot, weights)


@jit
def _finish(
    state: State,
    counts: Array,
    n: int,
    log_scale: float,
    frames: int,
    vocabulary: Vocabulary,
    lm: LanguageModel,
    hot: Hotwords,
    weights: Weights,
) -> Finals:
    """What the n hypotheses of the beam say, those that say the same as one."""
    ints, floats, look_ahead = state.ints, state.floats, vocabulary.look_ahead
    mode, kind, trie_size = vocabulary.mode, vocabulary.kind, len(vocabulary.letter)
    word_first, words = vocabulary.word_first, vocabulary.words
    room = 0
    for i in range(n):
        node = ints[i, _NODE]
        room += 1 if node >= trie_size else max(1, word_first[node + 1] - word_first[node])
    state = _resized(state, counts, 0, _power_of_two(counts[_HISTORIES] + room), 0, 0)
    histories, history_scores, n_histories = state.histories, state.history_scores, counts[_HISTORIES]
    total, lm_sum, hot_sum = np.empty(room), np.empty(room), np.empty(room)
    history_of, record_of, end_of = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int32)
    length_of, strongest_of = np.empty(room, np.int32), np.empty(room)
    row_of = np.full(len(histories), -1, np.int32)
    rows = 0
    for complete in range(1, -1, -1):  # where no hypothesis is complete, their complete words
        for i in range(n):
            history, node = ints[i, _HISTORY], ints[i, _NODE]
            score = np.log(floats[i, _BLANK] + floats[i, _TOKEN]) + log_scale
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
                    word = vocabulary.size + node if alone else words[w]
                    place = _hash(history, word, 0, len(state.history_table))
                    final = state.history_table[place] - 1
                    while final >= 0 and (histories[final, PARENT] != history or histories[final, WORD] != word):
                        place = (place + 1) & (len(state.history_table) - 1)
                        final = state.history_table[place] - 1
                    if final < 0:
                        final = n_histories
                        _set_history(histories, history_scores, final, history, word, lm, hot, weights)
                        state.history_table[place] = final + 1
                        n_histories += 1
                    value += history_scores[final, _DELTA]
                ends = 0.0
                if lm.present and lm.eos >= 0:
                    ends = weights.lm_scale * lm_score(lm, histories[final, _LM_STATE], lm.eos)[0]
                value += ends
                if hot.present:
                    value -= hot.credit[histories[final, _HOT_STATE]]
                heard = final
                if mode == UNITS and final and kind[histories[final, WORD]] == SEPARATOR:
                    heard = histories[final, PARENT]  # a space at the end says nothing
                row = row_of[heard]
                if row < 0:
                    row = row_of[heard] = rows
                    rows += 1
                    history_of[row], total[row], strongest_of[row] = heard, value, -np.inf
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
        state.records[: counts[_RECORDS]],
        state.spellings[: counts[_SPELLINGS]],
        np.array([len(histories), len(state.records), len(ints)]),
    )


@jit
def _power_of_two(n: int) -> int:
    """The least one that is not below n."""
    power = 1
    while power < n:
        power *= 2
    return power


@jit
def trace(log_probs: Array, records: Array, record: int, end: int) -> tuple[Array, Array]:
    """The tokens of a hypothesis in order, int32 (U, 4): token, first frame, frame after the last, its word or -1.

    And (U,) the greatest log-probability of each while it is said.
    """
    n, at = 0, record
    while at >= 0:
        n, at = n + 1, records[at, PREVIOUS]
    tokens, most = np.empty((n, 4), np.int32), np.full(n, -np.inf)
    at = record
    for i in range(n - 1, -1, -1):
        tokens[i, 0], tokens[i, 1], tokens[i, 2] = records[at, TOKEN], records[at, START], end
        tokens[i, 3] = records[at, OF_WORD]
        for t in range(records[at, START], end):
            most[i] = max(most[i], log_probs[t, records[at, TOKEN]])
        at, end = records[at, PREVIOUS], records[at, PREVIOUS_END]
    return tokens, most


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
