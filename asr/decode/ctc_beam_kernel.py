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

from asr.utils.jit import jit, jit_borrowing

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
    depth: Array  # int32 (N,): letters so far
    first: Array  # int32 (N + 1,): children of node n are first[n]..first[n + 1] - 1, sorted by letter
    word_first: Array  # int32 (N + 1,): words that end at node n are words[word_first[n]:word_first[n + 1]]
    words: Array  # int32
    look_ahead: Array  # float64 (N,): natural log, the best score of a word below
    step: Array  # float64 (N,): exp(look_ahead of the node - that of its parent)
    # What spares the search most of its work:
    has: Array  # int64 (N,): bit l % 64 is set where a child has letter l
    few_letters: bool  # all that tokens stand for are below 64
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
    unk_letter_score: float  # for each letter of a word that the vocabulary lacks
    oov_look_ahead: float  # of a word beyond the trie, but for its letters
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
    spellings: Array  # int32 (spellings, 3): parent, letter, letters so far
    sizes: Array  # int64 (3,): histories, records and slots that memory was taken for


class State(NamedTuple):
    """The memory of a search. Rows of `histories` and `spellings` are found by their first two columns."""

    ints: Array  # int32 (slots, 10): hypotheses of the beam, and in a frame those that may become the next beam
    floats: Array  # float64 (slots, 5)
    scores: Array  # float64 (slots,)
    scratch: Array  # float64 (slots,)
    bounds: Array  # float64 (slots,)
    able: Array  # int32 (slots,): for a moment, as scratch, known
    known: Array  # int32 (slots,)
    move_from: Array  # int32 (slots,): a hypothesis's slot, the token it goes on by, where it leads
    move_token: Array
    move_node: Array
    move_history: Array
    move_word: Array  # that ends, or -1
    move_mass: Array  # float64 (slots,): the probability, without the word's
    move_replaced: Array  # the look-ahead that the word's score replaces
    slots: Array  # int32: hash table of the slots in a frame
    stamps: Array  # int32: the frame in which the place was taken
    histories: Array  # int32 (histories, 5)
    history_scores: Array  # float64 (histories, 5)
    history_table: Array  # int32: hash table, row + 1
    spellings: Array  # int32 (spellings, 3): parent and letter of the nodes beyond the trie, letters so far
    spelling_table: Array  # int32
    records: Array  # int32 (records, 5): tokens that were said, and when


# Columns of histories (their scores: _DELTA ...), records, slots.
PARENT, WORD, _LM_STATE, _HOT_STATE, LENGTH = 0, 1, 2, 3, 4
_DELTA, _LM_SUM, _HOT_SUM, _REPLACED, _FACTOR = range(5)
PREVIOUS, TOKEN, START, PREVIOUS_END, OF_WORD = 0, 1, 2, 3, 4
_HISTORY, _NODE, _LAST, _BLANK_RECORD, _BLANK_END, _RECORD, _OLD_RECORD, _OLD_END, _SOURCE, _SOURCE_END = range(10)
_COLUMNS = 10
_BLANK, _TOKEN, _NEW_BLANK, _NEW_TOKEN, _STRONGEST = range(5)
_NONE = -2
_TINY = 5e-324  # the least number above 0
ALL = 1 << 40  # a beam_size that keeps every hypothesis
_SETTLED = 200  # words
_MOST = 600.0  # size of the logarithm of a factor: its exponential is still a number, and not 0
_FEW_SLOTS, _FEW_HISTORIES, _FEW_SPELLINGS, _FEW_RECORDS, _MANY_WORDS = -1, -2, -3, -4, -5
_HISTORIES, _SPELLINGS, _RECORDS, _STAMP, _BEAM, _FRAME, _ONLY_BLANK = range(7)  # what is counted
_LOG, _INVERSE, _DEAD_END = range(3)  # probabilities are floats * scales[_INVERSE] * exp(scales[_LOG])

_MIX_1, _MIX_2, _MIX_3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_SHIFT = np.uint64(32)


@jit_borrowing
def _exp(x: float) -> Any:
    """exp(x), held within what can be multiplied: a word however unlikely can be heard where nothing else can."""
    return np.exp(min(max(x, -_MOST), _MOST))


@jit_borrowing
def _hash(a: int, b: int, c: int, size: int) -> Any:
    """A place in a table of `size`, a power of two."""
    h = np.uint64(a) * _MIX_1 ^ np.uint64(b) * _MIX_2 ^ np.uint64(c) * _MIX_3
    h = (h ^ (h >> _SHIFT)) * _MIX_1
    return np.int64((h >> _SHIFT) & np.uint64(size - 1))


@jit_borrowing
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


@jit_borrowing
def _ones(bits: int) -> Any:
    """How many bits are set. The compiler knows these lines, and makes one instruction of them."""
    x = np.uint64(bits)
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@jit_borrowing
def _index_pairs(pairs: Array, n: int, table: Array) -> None:
    """Enters n rows into a hash table by their first two columns: place -> row + 1."""
    for i in range(n):
        place = _hash(pairs[i, 0], pairs[i, 1], 0, len(table))
        while table[place]:
            place = (place + 1) & (len(table) - 1)
        table[place] = i + 1


@jit_borrowing
def _lm_scores(lm: LanguageModel, states: Array, words: Array, scores: Array, n: int) -> None:
    """log10 p(words[i] | states[i]) into scores[i], the next state into states[i]; asr.lm.ngram says how arrays lie."""
    last, first, link, log_prob, backoff = lm.word, lm.first, lm.link, lm.log_prob, lm.backoff
    for i in range(n):
        state, word = states[i], words[i]
        score, node = 0.0, 1 + word
        while state:
            child = _find(last, first[state], first[state + 1], word)
            if child >= 0:
                node = child
                break
            score += backoff[state]
            state = link[state]
        scores[i] = score + log_prob[node]
        remembered = node < len(backoff) and (first[node + 1] > first[node] or backoff[node] != 0.0)
        states[i] = node if remembered else link[node]


@jit_borrowing
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


@jit_borrowing
def _append_words(
    state: State,
    counts: Array,
    of: Array,
    words: Array,
    n: int,
    vocabulary: Vocabulary,
    lm: LanguageModel,
    hot: Hotwords,
    weights: Weights,
) -> bool:
    """The histories of[:n] become those of a word more, where words[:n] is one; False where the memory is too small.

    New ones are scored all together, because numba counts references to the arrays in each call of a function.
    """
    rows, scores, table, spellings = state.histories, state.history_scores, state.history_table, state.spellings
    size, depth = vocabulary.size, vocabulary.depth
    begin = end = counts[_HISTORIES]
    for i in range(n):
        parent, word = of[i], words[i]
        if word < 0:
            continue
        place = _hash(parent, word, 0, len(table))
        row = table[place] - 1
        while row >= 0 and (rows[row, PARENT] != parent or rows[row, WORD] != word):
            place = (place + 1) & (len(table) - 1)
            row = table[place] - 1
        if row < 0:
            if end == len(rows):
                return False
            row, end = end, end + 1
            table[place] = row + 1
            rows[row, PARENT], rows[row, WORD], rows[row, LENGTH] = parent, word, rows[parent, LENGTH] + 1
        of[i] = row
    counts[_HISTORIES] = end

    states, known, log10 = state.able, state.known, state.scratch
    if lm.present:
        ids, unk = lm.ids, lm.unk
        for row in range(begin, end):
            word = rows[row, WORD]
            states[row - begin] = rows[rows[row, PARENT], _LM_STATE]
            known[row - begin] = ids[word] if word < len(ids) else unk
        _lm_scores(lm, states, known, log10, end - begin)
    for row in range(begin, end):
        parent, word, delta = rows[row, PARENT], rows[row, WORD], weights.word_score
        gained = 0.0
        if lm.present:
            gained = weights.lm_scale * log10[row - begin]
            if known[row - begin] == lm.unk:
                gained += weights.unk_score
            if word > size:
                node, trie_size = word - size, len(depth)
                letters = depth[node] if node < trie_size else spellings[node - trie_size, 2]
                gained += weights.unk_letter_score * letters
            delta += gained
        rows[row, _LM_STATE], rows[row, _HOT_STATE] = states[row - begin] if lm.present else 0, 0
        scores[row, _LM_SUM], scores[row, _HOT_SUM] = scores[parent, _LM_SUM] + gained, scores[parent, _HOT_SUM]
        if hot.present:
            before = rows[parent, _HOT_STATE]
            after = _hot_step(hot, before, hot.ids[word] if word < len(hot.ids) else -1)
            rows[row, _HOT_STATE] = after
            scores[row, _HOT_SUM] += hot.gain[after]
            delta += hot.gain[after] + hot.credit[after] - hot.credit[before]
        scores[row, _DELTA], scores[row, _REPLACED], scores[row, _FACTOR] = delta, 0.0, _exp(delta)
    return True


@jit_borrowing
def _sort_by(items: Array, n: int, keys: Array) -> None:
    """Puts items[:n] in the order of keys[item], greatest first (Shell 1959; gaps 1, 4, 13, 40 ...)."""
    gap = 1
    while 3 * gap + 1 < n:
        gap = 3 * gap + 1
    while gap:
        for i in range(gap, n):
            item = items[i]
            j = i - gap
            while j >= 0 and keys[items[j]] < keys[item]:
                items[j + gap] = items[j]
                j -= gap
            items[j + gap] = item
        gap //= 3


@jit_borrowing
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


@jit_borrowing
def _settle(state: State, n: int) -> int:
    """What the best hypothesis said more than _SETTLED words ago stands: others that differ there are dropped.

    Without this, what is remembered of an hour is as many variants of its first minutes as the beam is wide. The
    hypotheses that are kept.
    """
    ints, floats, histories = state.ints, state.floats, state.histories
    best = 0
    for i in range(n):
        if floats[i, _BLANK] + floats[i, _TOKEN] > floats[best, _BLANK] + floats[best, _TOKEN]:
            best = i
    common = ints[best, _HISTORY]
    for _ in range(_SETTLED):
        common = histories[common, PARENT] if common > 0 else 0
    kept = 0
    for i in range(n):
        at = ints[i, _HISTORY]
        while at > common:  # a history lies behind those it goes on from
            at = histories[at, PARENT]
        if at != common:
            continue
        for column in range(_COLUMNS):
            ints[kept, column] = ints[i, column]
        floats[kept, _BLANK], floats[kept, _TOKEN] = floats[i, _BLANK], floats[i, _TOKEN]
        kept += 1
    return kept


@jit
def _collect_records(records: Array, n: int, ints: Array, slots: int) -> int:
    """Keeps the records that a slot leads to, in their order, and tells the slots their new places; their number."""
    kept = np.zeros(n, np.int32)
    for i in range(slots):
        for column in (_BLANK_RECORD, _RECORD):
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
        for column in (_BLANK_RECORD, _RECORD):
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
            spellings[spelt_count, 1], spellings[spelt_count, 2] = spellings[at, 1], spellings[at, 2]
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


@jit_borrowing
def _propose(
    state: State,
    counts: Array,
    n: int,
    chosen: Array,
    n_chosen: int,
    probs: Array,
    blank_prob: float,
    vocabulary: Vocabulary,
    weights: Weights,
) -> tuple[int, float, float]:
    """What the n hypotheses of the beam may do in a frame: stay as they are (slots 0 to n - 1), and moves by a token.

    The number of moves, the probability below which nothing enters the beam, and the best one that stays. _FEW_SLOTS or
    _FEW_SPELLINGS where the memory is too small: the frame is then begun anew with more.
    """
    mode, kind, is_open, size = vocabulary.mode, vocabulary.kind, vocabulary.open, vocabulary.size
    spelling_first, spelling = vocabulary.spelling_first, vocabulary.spelling
    letters, first, has, trie_size = vocabulary.letter, vocabulary.first, vocabulary.has, len(vocabulary.letter)
    few_letters = vocabulary.few_letters
    word_first, words = vocabulary.word_first, vocabulary.words
    look_ahead, step = vocabulary.look_ahead, vocabulary.step
    ahead, release = vocabulary.ahead, vocabulary.release
    oov_look_ahead, oov_release, depth = weights.oov_look_ahead, weights.oov_release, vocabulary.depth
    unk_letter_score, letter_factor = weights.unk_letter_score, np.exp(weights.unk_letter_score)
    ints, floats, scores, bounds, able = state.ints, state.floats, state.scores, state.bounds, state.able
    histories, spellings, spelling_table = state.histories, state.spellings, state.spelling_table
    move_from, move_token, move_node = state.move_from, state.move_token, state.move_node
    move_history, move_word = state.move_history, state.move_word
    move_mass, move_replaced = state.move_mass, state.move_replaced

    # Every hypothesis stays as it is: a blank, or the last token once more.
    best, least = 0.0, np.inf
    for i in range(n):
        blank, token = floats[i, _BLANK], floats[i, _TOKEN]
        ints[i, _SOURCE] = _NONE
        new_blank, new_token = (blank + token) * blank_prob, token * probs[ints[i, _LAST]]
        floats[i, _NEW_BLANK], floats[i, _NEW_TOKEN], floats[i, _STRONGEST] = new_blank, new_token, new_token
        scores[i] = new_blank + new_token
        best, least = max(best, scores[i]), min(least, scores[i])
    # What is below the worst of a full beam cannot enter it.
    cutoff = best * weights.beam_floor
    if n >= weights.beam_size:
        cutoff = max(cutoff, least)

    # And it may go on by a token, the likely ones first.
    farthest = 0.0
    for i in range(n):
        node = ints[i, _NODE]
        bounds[i] = floats[i, _BLANK] + floats[i, _TOKEN]
        if mode != UNITS and node < trie_size:
            bounds[i] *= ahead[node]
        farthest = max(farthest, bounds[i])
    moves = 0
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
            if node < trie_size:
                replaced = look_ahead[node]
            else:
                replaced = oov_look_ahead + unk_letter_score * spellings[node - trie_size, 2]
            target, factor = 0, 1.0
            if mode != UNITS and kind[v] != SEPARATOR:
                target = 0 if boundary else node
                for at in range(spelling_first[v], spelling_first[v + 1]):
                    letter, child = spelling[at], -1
                    if target < trie_size and has[target] >> (letter & 63) & 1:
                        if few_letters:  # one bit each: those below say how many children come before
                            child = first[target] + _ones(has[target] & ((np.int64(1) << letter) - 1))
                        else:
                            child = _find(letters, first[target], first[target + 1], letter)
                    if child >= 0:
                        factor *= step[child]
                    elif is_open:
                        so_far = depth[target] if target < trie_size else spellings[target - trie_size, 2]
                        factor *= letter_factor
                        if target < trie_size:
                            factor *= _exp(oov_look_ahead + unk_letter_score * so_far - look_ahead[target])
                        place = _hash(target, letter, 0, len(spelling_table))
                        child = spelling_table[place] - 1
                        while child >= 0 and (spellings[child, 0] != target or spellings[child, 1] != letter):
                            place = (place + 1) & (len(spelling_table) - 1)
                            child = spelling_table[place] - 1
                        if child < 0:
                            child = counts[_SPELLINGS]
                            if child == len(spellings):
                                return _FEW_SPELLINGS, cutoff, best
                            spellings[child, 0], spellings[child, 1] = target, letter
                            spellings[child, 2] = so_far + 1
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
            if n + moves + 1 + high - low > len(move_from):
                return _FEW_SLOTS, cutoff, best
            if (
                not ending
                and not (mode == EAGER and first[target] == first[target + 1])
                and mass * factor >= max(cutoff, _TINY)
            ):
                move_from[moves], move_token[moves], move_node[moves] = i, v, target
                move_history[moves], move_word[moves], move_mass[moves] = history, -1, mass * factor
                moves += 1
            for w in range(low, high):
                move_from[moves], move_token[moves], move_node[moves] = i, v, target if boundary else 0
                move_history[moves] = history
                move_word[moves] = v if mode == UNITS else size + at_end if alone else words[w]
                move_mass[moves] = mass * factor if boundary else mass  # factor: of the word that begins
                move_replaced[moves] = replaced
                moves += 1
    return moves, cutoff, best


@jit_borrowing
def _move(state: State, counts: Array, n: int, moves: int, cutoff: float, beam_size: int) -> int:
    """Makes the moves: each meets the slot that it leads to, or takes a further one. The slots there are then."""
    ints, floats, scores, scratch = state.ints, state.floats, state.scores, state.scratch
    slots, stamps, history_scores = state.slots, state.stamps, state.history_scores
    move_from, move_token, move_node = state.move_from, state.move_token, state.move_node
    move_history, move_word = state.move_history, state.move_word
    move_mass, move_replaced = state.move_mass, state.move_replaced
    if moves == 0:
        return n
    counts[_STAMP] += 1
    stamp, mask = counts[_STAMP], len(slots) - 1
    for j in range(n):
        place = _hash(ints[j, _HISTORY], ints[j, _NODE], ints[j, _LAST], len(slots))
        while stamps[place] == stamp:
            place = (place + 1) & mask
        slots[place], stamps[place] = j, stamp
    m, rise_at = n, n + beam_size
    for k in range(moves):
        history, node, v, mass = move_history[k], move_node[k], move_token[k], move_mass[k]
        if move_word[k] >= 0:
            replaced = move_replaced[k]
            if history_scores[history, _REPLACED] != replaced:  # nearly always it is, which spares a slow exp()
                history_scores[history, _REPLACED] = replaced
                history_scores[history, _FACTOR] = _exp(history_scores[history, _DELTA] - replaced)
            mass *= history_scores[history, _FACTOR]
        if mass < cutoff or mass == 0.0:
            continue
        place = _hash(history, node, v, len(slots))
        slot = -1
        while stamps[place] == stamp:
            j = slots[place]
            if ints[j, _HISTORY] == history and ints[j, _NODE] == node and ints[j, _LAST] == v:
                slot = j
                break
            place = (place + 1) & mask
        if slot < 0:
            slot = m
            m += 1
            slots[place], stamps[place] = slot, stamp
            ints[slot, _HISTORY], ints[slot, _NODE], ints[slot, _LAST] = history, node, v
            ints[slot, _BLANK_RECORD], ints[slot, _BLANK_END], ints[slot, _RECORD] = -1, 0, -1
            ints[slot, _SOURCE] = _NONE
            floats[slot, _NEW_BLANK] = floats[slot, _NEW_TOKEN] = floats[slot, _STRONGEST] = 0.0
            scores[slot] = 0.0
        floats[slot, _NEW_TOKEN] += mass
        scores[slot] += mass
        if mass > floats[slot, _STRONGEST]:  # the token is said now rather than before
            floats[slot, _STRONGEST] = mass
            side = _OLD_RECORD if v == ints[move_from[k], _LAST] else _BLANK_RECORD
            source = move_from[k]
            ints[slot, _SOURCE], ints[slot, _SOURCE_END] = ints[source, side], ints[source, side + 1]
        if m == rise_at:
            for j in range(m):
                scratch[j] = scores[j]
            cutoff = max(cutoff, _select(scratch, m, beam_size))
            rise_at += beam_size
    return m


@jit
def _memory(slots: int, histories: int, spellings: int, records: int) -> State:
    """A state of as many rows, powers of two; what it holds means nothing yet."""
    return State(
        ints=np.empty((slots, _COLUMNS), np.int32),
        floats=np.empty((slots, 5), np.float64),
        scores=np.empty(slots, np.float64),
        scratch=np.empty(slots, np.float64),
        bounds=np.empty(slots, np.float64),
        able=np.empty(slots, np.int32),
        known=np.empty(slots, np.int32),
        move_from=np.empty(slots, np.int32),
        move_token=np.empty(slots, np.int32),
        move_node=np.empty(slots, np.int32),
        move_history=np.empty(slots, np.int32),
        move_word=np.empty(slots, np.int32),
        move_mass=np.empty(slots, np.float64),
        move_replaced=np.empty(slots, np.float64),
        slots=np.zeros(4 * slots, np.int32),
        stamps=np.zeros(4 * slots, np.int32),
        histories=np.empty((histories, 5), np.int32),
        history_scores=np.empty((histories, 5), np.float64),
        history_table=np.zeros(2 * histories, np.int32),
        spellings=np.empty((spellings, 3), np.int32),
        spelling_table=np.zeros(2 * spellings, np.int32),
        records=np.empty((records, 5), np.int32),
    )


@jit
def _new_state(start: int) -> State:
    """Memory for a while, with the one hypothesis that nothing was said: slot 0, history 0."""
    state = _memory(1024, 4096, 1024, 8192)
    ints, floats, histories = state.ints, state.floats, state.histories
    ints[0], floats[0], histories[0], state.history_scores[0] = 0, 0.0, 0, 0.0
    histories[0, PARENT], histories[0, WORD], histories[0, _LM_STATE] = -1, -1, start
    ints[0, _BLANK_RECORD], ints[0, _RECORD], ints[0, _OLD_RECORD], ints[0, _SOURCE] = -1, -1, -1, _NONE
    floats[0, _BLANK] = 1.0
    return state


@jit
def _resized(state: State, counts: Array, slots: int, histories: int, spellings: int, records: int) -> State:
    """What the state holds, in memory for as many rows, powers of two that are not below what there was.

    Its hash tables are made anew, where nothing grows too.
    """
    n, n_histories, n_spellings = counts[_BEAM], counts[_HISTORIES], counts[_SPELLINGS]
    had = len(state.ints), len(state.histories), len(state.spellings), len(state.records)
    if had == (slots, histories, spellings, records):
        resized = state
        resized.history_table[:], resized.spelling_table[:] = 0, 0
    else:
        resized = _memory(slots, histories, spellings, records)
        resized.ints[:n], resized.floats[:n] = state.ints[:n], state.floats[:n]
        resized.histories[:n_histories] = state.histories[:n_histories]
        resized.history_scores[:n_histories] = state.history_scores[:n_histories]
        resized.spellings[:n_spellings] = state.spellings[:n_spellings]
        resized.records[: counts[_RECORDS]] = state.records[: counts[_RECORDS]]
    _index_pairs(resized.histories, n_histories, resized.history_table)
    _index_pairs(resized.spellings, n_spellings, resized.spelling_table)
    return resized


@jit_borrowing
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
            for column in range(_COLUMNS):
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


@jit_borrowing
def _advance(
    state: State,
    counts: Array,
    scales: Array,
    log_probs: Array,
    offset: Array,
    probs: Array,
    chosen: Array,
    vocabulary: Vocabulary,
    lm: LanguageModel,
    hot: Hotwords,
    weights: Weights,
) -> int:
    """Searches frame after frame to the last, or to one that wants more memory: then it says of what."""
    ints, floats, kind, frames = state.ints, state.floats, vocabulary.kind, len(log_probs)
    while counts[_FRAME] < frames and counts[_BEAM]:
        t, n = counts[_FRAME], counts[_BEAM]
        inverse, only_blank = scales[_INVERSE], counts[_ONLY_BLANK]
        threshold = weights.token_threshold if scales[_DEAD_END] == 0.0 else np.inf
        n_chosen, top, floor = _choose(log_probs, t, offset, kind, threshold, chosen)
        if top == -np.inf:
            counts[_BEAM] = 0
            break
        blank_value = log_probs[t, 0] - offset[0]
        if n_chosen == 0 and only_blank:
            scales[_LOG] += blank_value
            counts[_FRAME] += 1
            continue
        if counts[_RECORDS] + len(ints) > len(state.records):
            return _FEW_RECORDS
        if n_chosen == 0:
            _mark_blanks(state, n, t)
            for i in range(n):
                floats[i, _BLANK], floats[i, _TOKEN] = floats[i, _BLANK] + floats[i, _TOKEN], 0.0
            scales[_LOG] += blank_value
            counts[_FRAME] += 1
            counts[_ONLY_BLANK] = 1
            continue
        for k in range(n_chosen):
            probs[chosen[k]] = np.exp(log_probs[t, chosen[k]] - offset[chosen[k]] - top) * inverse
        _sort_by(chosen, n_chosen, probs)
        blank_prob = np.exp(blank_value - top) * inverse if blank_value >= floor else 0.0
        moves, cutoff, best = _propose(state, counts, n, chosen, n_chosen, probs, blank_prob, vocabulary, weights)
        for k in range(n_chosen):
            probs[chosen[k]] = 0.0
        if moves < 0:
            return moves
        if moves == 0 and best == 0.0 and threshold < np.inf:
            scales[_DEAD_END] = 1.0  # nothing that is likely here can follow: once more with all tokens
            continue
        scales[_DEAD_END] = 0.0
        if not _append_words(state, counts, state.move_history, state.move_word, moves, vocabulary, lm, hot, weights):
            return _FEW_HISTORIES
        _mark_blanks(state, n, t)
        m = _move(state, counts, n, moves, cutoff, weights.beam_size)
        n, best = _prune(state, counts, m, t, vocabulary, weights)
        counts[_BEAM], counts[_ONLY_BLANK] = n, 0
        counts[_FRAME] += 1
        if n:
            scales[_INVERSE] = 1.0 / best
            scales[_LOG] += top + np.log(best)
        if 4 * counts[_HISTORIES] > 3 * len(state.histories) or 4 * counts[_SPELLINGS] > 3 * len(state.spellings):
            return _MANY_WORDS
    return 0


@jit_borrowing
def _choose(log_probs: Array, t: int, offset: Array, kind: Array, threshold: float, chosen: Array) -> Any:
    """The tokens that frame t may add: their number, the frame's greatest log-probability, the least that counts."""
    top, n = -np.inf, 0
    for v in range(len(kind)):
        if kind[v] != NEVER:
            top = max(top, log_probs[t, v] - offset[v])
    floor = -np.inf if threshold == np.inf else top - threshold
    for v in range(1, len(kind)):
        value = log_probs[t, v] - offset[v]
        if value >= floor and value > -np.inf and kind[v] != NEVER:
            chosen[n] = v
            n += 1
    return n, top, floor


@jit_borrowing
def _mark_blanks(state: State, n: int, t: int) -> None:
    """Each of the n hypotheses remembers its last token where it is followed by a blank in frame t."""
    ints, floats = state.ints, state.floats
    for i in range(n):
        ints[i, _OLD_RECORD], ints[i, _OLD_END] = ints[i, _BLANK_RECORD], ints[i, _BLANK_END]
        if floats[i, _TOKEN] > floats[i, _BLANK]:
            ints[i, _BLANK_RECORD], ints[i, _BLANK_END] = ints[i, _RECORD], t


@jit
def search(
    log_probs: Array, offset: Array, vocabulary: Vocabulary, lm: LanguageModel, hot: Hotwords, weights: Weights
) -> Finals:
    """Searches one utterance: log_probs float32 (T, V), of which `offset` float64 (V,) is subtracted."""
    frames, vocab_size = log_probs.shape
    state, counts, scales = _new_state(lm.start), np.zeros(7, np.int64), np.array([0.0, 1.0, 0.0])
    counts[_HISTORIES] = counts[_BEAM] = counts[_ONLY_BLANK] = 1
    probs, chosen = np.zeros(vocab_size), np.empty(vocab_size, np.int32)
    while True:
        lacking = _advance(state, counts, scales, log_probs, offset, probs, chosen, vocabulary, lm, hot, weights)
        if lacking == 0:
            break
        slots, histories = len(state.ints), len(state.histories)
        spellings, records = len(state.spellings), len(state.records)
        if lacking in (_MANY_WORDS, _FEW_RECORDS) and weights.beam_size < ALL:
            counts[_BEAM] = _settle(state, counts[_BEAM])
        if lacking == _FEW_SLOTS:
            slots *= 2
        elif lacking == _FEW_HISTORIES:
            histories *= 2
        elif lacking == _FEW_SPELLINGS:
            spellings *= 2
        elif lacking == _MANY_WORDS:
            _collect_words(state, counts, counts[_BEAM], len(vocabulary.letter), vocabulary.size)
            histories *= 2 if 2 * counts[_HISTORIES] > histories else 1
            spellings *= 2 if 2 * counts[_SPELLINGS] > spellings else 1
        else:
            counts[_RECORDS] = _collect_records(state.records, counts[_RECORDS], state.ints, counts[_BEAM])
            while 2 * (counts[_RECORDS] + slots) > records:
                records *= 2
        state = _resized(state, counts, slots, histories, spellings, records)
    log_scale = scales[_LOG] + np.log(scales[_INVERSE])
    return _finish(state, counts, counts[_BEAM], log_scale, frames, vocabulary, lm, hot, weights)


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
    slots = max(len(state.ints), _power_of_two(room))
    more_histories = max(len(state.histories), _power_of_two(counts[_HISTORIES] + room))
    state = _resized(state, counts, slots, more_histories, len(state.spellings), len(state.records))
    histories, history_scores = state.histories, state.history_scores

    # The ends of hypotheses: with the word that ends, or none.
    source, value = np.empty(room, np.int32), np.empty(room)
    history_of, word_of = np.empty(room, np.int32), np.empty(room, np.int32)
    ends = 0
    for complete in range(1, -1, -1):  # where no hypothesis is complete, their complete words
        for i in range(n):
            node = ints[i, _NODE]
            low, high, alone = 0, 1, True
            if node != 0 and complete and node < trie_size:
                low, high = word_first[node], word_first[node + 1]
                alone = low == high
                if alone:
                    low, high = 0, 1
            if node != 0 and complete and (mode == EAGER or (alone and not vocabulary.open)):
                continue
            if node < trie_size:
                here = look_ahead[node]
            else:
                here = weights.oov_look_ahead + weights.unk_letter_score * state.spellings[node - trie_size, 2]
            for w in range(low, high):
                source[ends], history_of[ends], word_of[ends] = i, ints[i, _HISTORY], -1
                value[ends] = np.log(floats[i, _BLANK] + floats[i, _TOKEN]) + log_scale - here
                if node != 0 and complete:
                    word_of[ends] = vocabulary.size + node if alone else words[w]
                ends += 1
        if ends:
            break
    _append_words(state, counts, history_of, word_of, ends, vocabulary, lm, hot, weights)
    lm_end = np.zeros(ends)
    if lm.present and lm.eos >= 0:
        states = np.empty(ends, np.int32)
        for k in range(ends):
            states[k] = histories[history_of[k], _LM_STATE]
        _lm_scores(lm, states, np.full(ends, lm.eos, np.int32), lm_end, ends)

    # Those that say the same are one.
    total, lm_sum, hot_sum, strongest_of = np.empty(ends), np.empty(ends), np.empty(ends), np.empty(ends)
    heard_of, record_of, end_of = np.empty(ends, np.int32), np.empty(ends, np.int32), np.empty(ends, np.int32)
    length_of, row_of, rows = np.empty(ends, np.int32), np.full(len(histories), -1, np.int32), 0
    for k in range(ends):
        i, history = source[k], history_of[k]
        score = value[k] + weights.lm_scale * lm_end[k]
        if word_of[k] >= 0:
            score += history_scores[history, _DELTA]
        if hot.present:
            score -= hot.credit[histories[history, _HOT_STATE]]
        heard = history
        if mode == UNITS and history and kind[histories[history, WORD]] == SEPARATOR:
            heard = histories[history, PARENT]  # a space at the end says nothing
        row = row_of[heard]
        if row < 0:
            row = row_of[heard] = rows
            rows += 1
            heard_of[row], total[row], strongest_of[row] = heard, score, -np.inf
        else:
            most = max(total[row], score)
            total[row] = most + np.log(np.exp(total[row] - most) + np.exp(score - most))
        if score > strongest_of[row]:
            strongest_of[row], record_of[row], end_of[row] = score, ints[i, _BLANK_RECORD], ints[i, _BLANK_END]
            if floats[i, _TOKEN] > floats[i, _BLANK]:
                record_of[row], end_of[row] = ints[i, _RECORD], frames
            length_of[row] = histories[history, LENGTH]
            lm_sum[row] = history_scores[history, _LM_SUM] + weights.lm_scale * lm_end[k]
            hot_sum[row] = history_scores[history, _HOT_SUM]
    order = np.argsort(-total[:rows], kind="mergesort")
    return Finals(
        total[:rows][order],
        lm_sum[:rows][order],
        hot_sum[:rows][order],
        length_of[:rows][order],
        heard_of[:rows][order],
        record_of[:rows][order],
        end_of[:rows][order],
        histories[: counts[_HISTORIES]],
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
def _share(words: Array, other: Array, posterior: float, mass: Array) -> None:
    """Adds a hypothesis's posterior to the mass of the words that it has at their place, by the fewest edits."""
    size, length = len(words), len(other)
    edits = np.empty((size + 1, length + 1), np.int32)
    edits[0] = np.arange(length + 1)
    edits[:, 0] = np.arange(size + 1)
    for i in range(1, size + 1):
        for j in range(1, length + 1):
            changed = edits[i - 1, j - 1] + (words[i - 1] != other[j - 1])
            edits[i, j] = min(changed, edits[i - 1, j] + 1, edits[i, j - 1] + 1)
    i, j = size, length
    while i and j:
        same = words[i - 1] == other[j - 1]
        if edits[i, j] == edits[i - 1, j - 1] + (not same):
            if same:
                mass[i - 1] += posterior
            i, j = i - 1, j - 1
        elif edits[i, j] == edits[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1


@jit
def word_masses(histories: Array, finals: Array, posteriors: Array, same: Array, target: Array) -> Array:
    """For each of some words (N,): the posterior of the hypotheses that have it at its place, float64 (N,).

    finals int32 (H,), posteriors float64 (H,); same int32 (histories,): which of the words a history ends with, -1
    where it is none of them.
    """
    least = 1e-6  # posteriors below do not count
    mass = np.zeros(len(target), np.float64)
    for h in range(len(finals)):
        if posteriors[h] < least:
            continue
        node = finals[h]
        other = np.empty(histories[node, LENGTH], np.int32)
        for i in range(len(other) - 1, -1, -1):
            other[i] = same[node]
            node = histories[node, PARENT]
        _share(target, other, posteriors[h], mass)
    return mass


@jit
def word_posteriors(histories: Array, finals: Array, posteriors: Array, which: int) -> Array:
    """For each word of finals[which]: the posterior of the hypotheses that have it there, float64.

    finals int32 (H,), posteriors float64 (H,).
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
        if length and rest and length <= longest and rest <= longest:
            other = words_of(histories, finals[h])[common:]
            _share(best[common:], other, posteriors[h], mass[common:])
    return mass
