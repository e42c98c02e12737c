from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from wording import wording

from asr.text.lexicon import Lexicon, Trie, build_trie, read_lexicon, write_lexicon
from asr.utils.errors import InputError


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "lexicon.txt"
    path.write_bytes(content)
    return path


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"cat\tk a t\n", [("cat", "k a t")]),
        (b"cat\tk a t", [("cat", "k a t")]),  # no end of line
        (b"cat\tk a t\r\ndog\r\n", [("cat", "k a t"), ("dog", "d o g")]),
        (b"\xef\xbb\xbfcat\tk a t\n", [("cat", "k a t")]),  # a byte order mark
        (b"\n  \ncat\n\n", [("cat", "c a t")]),
        (b" cat \t  k   a t  \n", [("cat", "k a t")]),
        (b"the\tdh ah\na\tah\nthe\tdh iy\n", [("the", "dh ah"), ("a", "ah"), ("the", "dh iy")]),
        (b"a\tx\nb\ty\na\tx\n", [("a", "x"), ("b", "y")]),  # the same twice
        (b"a\ta\na\n", [("a", "a")]),
        ("né\n".encode(), [("né", "n é")]),
        ("ne\u0301\n".encode(), [("n\u00e9", "n \u00e9")]),  # composed
        ("a\u0331o\n".encode(), [("a\u0331o", "a\u0331 o")]),  # a letter with its mark
        ("नि\u200dx\n".encode(), [("नि\u200dx", "नि\u200d x")]),
        (b"x" * 1000 + b"\n", [("x" * 1000, " ".join("x" * 1000))]),
    ],
)
def test_what_a_file_says(tmp_path: Path, content: bytes, expected: list[tuple[str, str]]) -> None:
    lexicon = read_lexicon(written(tmp_path, content))
    assert lexicon.pronunciations == tuple((word, tuple(units.split())) for word, units in expected)
    assert lexicon.words == list(dict.fromkeys(word for word, _ in expected))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n\tk a t\n", wording("lexicon-txt-line-2-no")),
        (b"a\n  \tk\n", wording("lexicon-txt-line-2-no")),
        (b"a\n\nnew york\n", wording("lexicon-txt-line-3-new")),
        ("a\u2028b\n".encode(), wording("line-1-a-2028b-is")),  # U+2028 ends no line
        (b"new york\tn y\n", wording("lexicon-txt-line-1-new")),
        (b"a\r\nb\tb\tb\tb\r\n", wording("lexicon-txt-line-2-has")),
        (b"a\nb\tb\tsource\t\n", wording("lexicon-txt-line-2-has-2")),
        (b"a\t\tsource\n", wording("lexicon-txt-line-1-a")),
        (b"a\t\n", wording("lexicon-txt-line-1-a")),
        (b"a\nb\t  \r\n", wording("lexicon-txt-line-2-b")),
        (b"a\t" + b"b " * 1001, wording("line-1-a-has-1")),
        (b"x" * 1001, wording("has-1-001-units-more")),
        (b"a\nb\n\xff\xfe\n", wording("lexicon-txt-line-3-is")),
        (b"", wording("lexicon-txt-has-no-word")),
        (b"\xef\xbb\xbf \r\n\n", wording("lexicon-txt-has-no-word-2")),
    ],
)
def test_lines_that_are_none_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read_lexicon(path)
    assert str(error.value).startswith(str(path))


def test_a_third_column_is_the_source(tmp_path: Path) -> None:
    content = b"the\tdh ah\tcmudict\r\nthe\tdh iy\tuser\ncat\tk a t \t guess \ndog\td o g\t \nowl\tau l\nasp\n"
    lexicon = read_lexicon(written(tmp_path, content))
    assert lexicon.sources == {"the": "cmudict", "cat": "guess"}
    assert lexicon.words == ["the", "cat", "dog", "owl", "asp"]
    assert lexicon.pronunciations[2] == ("cat", ("k", "a", "t"))
    write_lexicon(lexicon, tmp_path / "again.txt")
    assert (tmp_path / "again.txt").read_bytes() == (
        b"the\tdh ah\tcmudict\nthe\tdh iy\tcmudict\ncat\tk a t\tguess\ndog\td o g\nowl\tau l\nasp\ta s p\n"
    )
    assert read_lexicon(tmp_path / "again.txt") == lexicon


def test_a_source_stays_on_its_line(tmp_path: Path) -> None:
    lexicon = Lexicon((("a", ("x",)), ("b", ("y",))), {"a": " my\tfile\n", "b": " ", "c": "guess"})
    write_lexicon(lexicon, tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "a\tx\tmy file\nb\ty\n"


def test_sources_may_be_left_out() -> None:
    assert Lexicon((("a", ("x",)),)).sources == {}
    assert hash(Lexicon((("a", ("x",)),), {"a": "guess"})) == hash(Lexicon((("a", ("x",)),)))


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=wording("none-txt-no-such-file-2")):
        read_lexicon(tmp_path / "none.txt")
    with pytest.raises(InputError, match=wording("cannot-be-read")):
        read_lexicon(tmp_path)


def test_no_words_at_all() -> None:
    with pytest.raises(InputError, match=wording("lexicon-has-no-word")):
        Lexicon(())
    with pytest.raises(InputError, match=wording("lexicon-has-no-word")):
        Lexicon.spelled([])


def test_spelled_by_perceived_characters() -> None:
    lexicon = Lexicon.spelled(["e\u0301a", "b", "e\u0301a"])
    assert lexicon.pronunciations == (("e\u0301a", ("e\u0301", "a")), ("b", ("b",)))


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6)
lexica = st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=5).map(tuple)), min_size=1, max_size=20)


@given(lexica, st.sampled_from(["user", "guess", "cmudict+plural"]))
def test_what_is_written_with_sources_is_read_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, pairs: list, source: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.txt"
    lexicon = Lexicon(tuple(pairs), dict.fromkeys((word for word, _ in pairs), source))
    assert list(lexicon.pronunciations) == list(dict.fromkeys(pairs))
    write_lexicon(lexicon, path)
    assert read_lexicon(path) == lexicon


# ------------------------------------------------------------------------------------------------ trie


def paths(trie: Trie) -> dict[tuple[int, ...], list[int]]:
    """Every node's letters -> the words that end there; looks at first, letter, parent as the docstring has them."""
    found = {}
    left = [(0, ())]
    while left:
        node, spelled = left.pop()
        found[spelled] = trie.words[trie.word_first[node] : trie.word_first[node + 1]].tolist()
        children = list(range(trie.first[node], trie.first[node + 1]))
        letters = trie.letter[children].tolist()
        assert letters == sorted(set(letters))
        assert (trie.parent[children] == node).all()
        assert all(child > node for child in children)
        left += [(child, (*spelled, letter)) for child, letter in zip(children, letters, strict=True)]
    assert len(found) == len(trie.letter)  # each node once
    assert (trie.letter[0], trie.parent[0]) == (-1, -1)
    assert all(array.dtype == np.int32 for array in vars(trie).values())
    depth = [0]
    for parent in trie.parent[1:].tolist():
        depth.append(depth[parent] + 1)
    assert depth == sorted(depth)  # breadth first
    return found


spellings = st.lists(
    st.tuples(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 8)), min_size=0, max_size=30
)


@given(spellings)
def test_a_trie_holds_what_it_was_made_of(entries: list[tuple[list[int], int]]) -> None:
    expected: dict[tuple[int, ...], set[int]] = {(): set()}
    for letters, word in entries:
        for n in range(len(letters)):
            expected.setdefault(tuple(letters[: n + 1]), set())
        expected[tuple(letters)].add(word)
    trie = build_trie([letters for letters, _ in entries], [word for _, word in entries])
    assert paths(trie) == {spelled: sorted(found) for spelled, found in expected.items()}


@given(spellings, st.lists(st.sampled_from([-np.inf, -7.25, -1.0, 0.0, 0.5, 3.0]), min_size=9, max_size=9))
def test_best_below_is_the_best_of_all_that_begin_so(entries: list[tuple[list[int], int]], of_word) -> None:
    values = np.array(of_word)
    trie = build_trie([letters for letters, _ in entries], [word for _, word in entries])
    best = trie.best_below(values)
    for node in range(len(best)):
        letters: list[int] = []
        at = node
        while at:
            letters.insert(0, int(trie.letter[at]))
            at = int(trie.parent[at])
        below = [values[word] for spelled, word in entries if spelled[: len(letters)] == letters]
        assert best[node] == max(below, default=-np.inf)


@pytest.mark.slow
def test_a_large_vocabulary_takes_seconds() -> None:
    rng = np.random.default_rng(0)
    letters = rng.integers(0, 30, (200_000, 12))
    entries = [row[:n].tolist() for row, n in zip(letters, rng.integers(3, 13, len(letters)), strict=True)]
    started = time.perf_counter()
    trie = build_trie(entries, range(len(entries)))
    best = trie.best_below(np.arange(len(entries), dtype=float))
    assert time.perf_counter() - started < 30
    assert best[0] == len(entries) - 1
    for word in (0, 17, 199_999):
        node = 0
        for letter in entries[word]:
            children = trie.letter[trie.first[node] : trie.first[node + 1]].tolist()
            node = int(trie.first[node]) + children.index(letter)
        assert word in trie.words[trie.word_first[node] : trie.word_first[node + 1]]


@pytest.mark.parametrize("line", ["\x1b[31mcat\tK AE T", "cat\tK \x07AE T", "ca\x00t"])
def test_what_a_terminal_would_obey_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "lexicon.txt").write_text(f"dog\tD AO G\n{line}\n")
    with pytest.raises(InputError, match=wording("lexicon-txt-line-2-has-3")):
        read_lexicon(tmp_path / "lexicon.txt")
