"""Models with an attention decoder: how they are searched, saved, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import spelled, speller, unigram_arpa, with_decoder
from wording import wording

from asr.decode.attention_search import AttentionSearch
from asr.decode.search import Heard, build_search, greedy_decoding
from asr.models.decoding_options import DecodingOptions
from asr.models.folder import load_model, save_model
from asr.models.model import Model
from asr.models.objective import Objective
from asr.utils.errors import InputError


def speech(*texts: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples and lengths."""
    sounds = [torch.from_numpy(spelled(text, i)) for i, text in enumerate(texts)]
    return torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True), torch.tensor([len(x) for x in sounds])


def heard(model: Model, texts: tuple[str, ...] = ("cat tack", "coat"), **options: Any) -> Heard:
    with torch.inference_mode():
        return build_search(model, **options).decode(model.recognizer, *speech(*texts))


@pytest.mark.parametrize(
    ("options", "search"),
    [
        ({}, "attention"),
        ({"search": "ctc"}, "beam"),
        ({"search": "two-pass"}, "two-pass"),
        ({"lm": True}, "two-pass"),
        ({"hotwords": ["cat"]}, "two-pass"),
        ({"greedy": True}, "greedy"),
        ({"ctc_weight": 0.0}, "attention"),
    ],
)
def test_how_it_is_searched(tmp_path: Path, options: dict[str, Any], search: str) -> None:
    if options.get("lm"):
        options = {"lm": unigram_arpa(tmp_path / "lm.arpa", {"cat": 0.5, "cot": 0.5})}
    assert build_search(with_decoder(), **options).facts["search"] == search


def test_a_folder_keeps_the_decoder(tmp_path: Path) -> None:
    model = with_decoder()
    save_model(tmp_path / "m", model, "# card\n")
    again = load_model(tmp_path / "m")
    assert again.config == model.config
    one, other = heard(model), heard(again)
    assert [[h.text for h in several] for several in one.nbest] == [
        [h.text for h in several] for several in other.nbest
    ]


def test_what_is_found_has_words_with_times_and_the_nbest_in_order() -> None:
    model = with_decoder()
    found = heard(model, nbest=4).nbest
    assert [len(several) for several in found] == [4, 4]
    _, lens = speech("cat tack", "coat")
    for several, seconds in zip(found, (lens / 8000).tolist(), strict=True):
        assert [h.score for h in several] == sorted((h.score for h in several), reverse=True)
        assert len({tuple(t.text for t in h.tokens) for h in several}) == 4
        best = several[0]
        edges = [edge for token in best.tokens for edge in (token.start, token.end)]
        assert edges == sorted(edges)
        assert all(0 <= edge <= seconds + 0.05 for edge in edges)
        assert all(0 < token.confidence <= 1 for token in best.tokens)
        assert " ".join(word.text for word in best.words) == best.text


def test_an_utterance_does_not_depend_on_its_batch() -> None:
    model = with_decoder()
    samples, lens = speech("cat tack", "coat")
    decoding = build_search(model)
    with torch.inference_mode():
        together = decoding.decode(model.recognizer, samples, lens).nbest
        alone = decoding.decode(model.recognizer, samples[1:, : lens[1]], lens[1:]).nbest
    assert alone[0][0].text == together[1][0].text
    assert alone[0][0].score == pytest.approx(together[1][0].score, abs=1e-3)


@pytest.mark.parametrize("search", ["attention", "two-pass"])
def test_half_precision(search: str) -> None:
    model = with_decoder()
    with torch.autocast("cpu", torch.bfloat16):
        found = heard(model, search=search).nbest
    assert [h.text for h in found[0]] == [h.text for h in heard(model, search=search).nbest[0]]


def test_two_passes_choose_by_both() -> None:
    model = with_decoder()
    by_ctc = heard(model, search="ctc", nbest=8).nbest
    decoder = model.recognizer.decoder
    assert decoder is not None
    for weight in (1.0, 0.5, 0.0):
        found = heard(model, search="two-pass", nbest=8, attention_beam=8, ctc_weight=weight).nbest
        for several, first in zip(found, by_ctc, strict=True):
            assert {h.text for h in several} == {h.text for h in first}
            assert [h.score for h in several] == sorted((h.score for h in several), reverse=True)
            if weight == 1:
                assert [h.text for h in several] == [h.text for h in first]
    # by hand, of the first utterance
    with torch.inference_mode():
        states, lens = model.recognizer.encode(*model.recognizer.features(*speech("cat tack")))
        for hypothesis in found[0]:
            tokens = torch.tensor([[model.tokenizer.tokens.index(token.text) for token in hypothesis.tokens]])
            loss = decoder.loss(states, lens, tokens, torch.tensor([tokens.shape[1]]))
            assert hypothesis.score == pytest.approx(-float(loss.sum), abs=1e-3)


def test_attention_alone_needs_no_ctc() -> None:
    model = with_decoder(ctc_weight=0.0)
    decoding = build_search(model)
    assert (decoding.facts["search"], decoding.facts["ctc_weight"]) == ("attention", 0.0)
    assert greedy_decoding(model).facts == {"search": "greedy by attention"}
    best = heard(model, ("cat",)).nbest[0][0]
    starts = [token.start for token in best.tokens]
    assert starts == sorted(starts)
    for search in ("ctc", "two-pass"):
        with pytest.raises(InputError, match=wording("was-trained-with-attention-alone")):
            build_search(model, search=search)


def test_what_cannot_be_searched_so(tmp_path: Path) -> None:
    for search in ("attention", "two-pass"):
        with pytest.raises(InputError, match=wording("was-trained-with-ctc-alone")):
            build_search(speller(), search=search)
    with pytest.raises(InputError, match=wording("knows-of-no-lexicon-or")):
        build_search(with_decoder(), search="attention", hotwords=["cat"])
    words = unigram_arpa(tmp_path / "lm.arpa", {"cat": 0.5, "cot": 0.5})
    with pytest.raises(InputError, match=wording("lm-arpa-is-of-other")):
        build_search(with_decoder(), search="attention", lm=words)


def test_the_loss_is_the_weighted_sum_of_both() -> None:
    from asr.data.batches import Batch, Targets

    model = with_decoder()
    recognizer = model.recognizer
    tokens, lens = torch.tensor([[2, 3, 4], [5, 1, 0]]), torch.tensor([3, 2])
    torch.manual_seed(0)
    batch = Batch(
        ids=["a", "b"],
        samples=0.1 * torch.randn(2, 8000),
        sample_lens=torch.tensor([8000, 6000]),
        texts=["", ""],
        targets={"characters": Targets(tokens, lens)},
        seeds=torch.zeros(2, dtype=torch.long),
        speakers=["", ""],
        size=2.0,
        padded_size=2.0,
    )
    with torch.no_grad():
        states, frames = recognizer.encode(*recognizer.features(batch.samples, batch.sample_lens))
        objective = Objective(model)
        ctc = objective.main_loss(recognizer.ctc(states), frames, batch)
        assert recognizer.decoder is not None
        attention = recognizer.decoder.loss(states, frames, tokens, lens)
        both = objective(batch)
        assert float(both.sum) == pytest.approx(0.3 * float(ctc.sum) + 0.7 * float(attention.sum), rel=1e-5)
        objective.decoder_learns = False  # CTC first
        assert float(objective(batch).sum) == pytest.approx(float(ctc.sum), rel=1e-6)
        objective.decoder_learns, objective.ctc_weight = True, 0.0
        assert float(objective(batch).sum) == pytest.approx(float(attention.sum), rel=1e-5)
    objective.ctc_weight, gradients = 0.3, []
    for objective.encoder_learns in (True, False):  # frozen: the same for all but the encoder, which has zeros
        objective.zero_grad(set_to_none=True)
        objective(batch).sum.backward()
        gradients.append({name: parameter.grad for name, parameter in recognizer.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None
        expected = torch.zeros_like(gradient) if name.startswith("encoder.") else gradient
        assert gradient.any()
        assert torch.allclose(gradients[1][name], expected)


def test_search_of_a_real_model_is_one_of_the_options() -> None:
    with pytest.raises(InputError, match="joint"):
        build_search(with_decoder(), search="joint")
    search = AttentionSearch(with_decoder(), DecodingOptions(attention_beam=3))
    assert search.options.ctc_weight == 0.3
