from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from asr.decode.align import Span, align_tokens


def log_probs(frames: int, tokens: int, seed: int) -> np.ndarray:
    x = 3 * np.random.default_rng(seed).standard_normal((frames, tokens)).astype(np.float32)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(token for token, _ in itertools.groupby(path) if token)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("text", [(1,), (1, 2), (2, 2), (1, 1, 1), (2, 1, 2), (1, 2, 2, 1), ()])
def test_the_path_is_the_best_of_all(text: tuple[int, ...], seed: int) -> None:
    x = log_probs(6, 3, seed)
    paths = [path for path in itertools.product(range(3), repeat=6) if collapsed(path) == text]
    best = max(paths, key=lambda path: sum(x[t, token] for t, token in enumerate(path)))
    spans, t = [], 0
    for token, run in itertools.groupby(best):
        length = len(list(run))
        if token:
            spans.append(Span(t, t + length, float(x[t : t + length, token].max())))
        t += length
    assert align_tokens(x, text) == spans


@pytest.mark.parametrize("seed", range(5))
def test_torchaudio_aligns_likewise(seed: int) -> None:
    torchaudio = pytest.importorskip("torchaudio")
    import torch

    rng = np.random.default_rng(seed)
    x = log_probs(400, 30, seed)
    text = rng.integers(1, 30, size=120).tolist()
    found = align_tokens(x, text)
    assert found is not None
    (path,), (scores,) = torchaudio.functional.forced_align(torch.from_numpy(x)[None], torch.tensor([text]))
    spans = [Span(s.start, s.end, 0.0) for s in torchaudio.functional.merge_tokens(path, scores)]
    assert [span[:2] for span in found] == [span[:2] for span in spans]


def test_too_few_frames() -> None:
    assert align_tokens(log_probs(3, 4, 0), (1, 1)) is not None
    assert align_tokens(log_probs(2, 4, 0), (1, 1)) is None  # a blank is needed between
    assert align_tokens(log_probs(0, 4, 0), (1,)) is None
    assert align_tokens(log_probs(0, 4, 0), ()) == []
    impossible = log_probs(4, 4, 0)
    impossible[:, 2] = -math.inf
    assert align_tokens(impossible, (2,)) is None
