from __future__ import annotations

import gzip
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers import WORDS, spelled_cuts, spelled_texts, speller, unigram_arpa, with_decoder, with_head
from typer.testing import CliRunner, Result
from wording import wording

from asr.cli import app
from asr.data.cuts import read_cuts
from asr.decode.attention_search import AttentionSearch
from asr.decode.ctc_beam import CtcBeamDecoder
from asr.decode.search import build_search
from asr.evaluate.evaluation import evaluate, recognize
from asr.evaluate.tuning.confidence import cross_entropy
from asr.evaluate.tuning.coordinates import Table, Trial, coordinate_search
from asr.evaluate.tuning.tune import BEAMS, GRID, JOINED, KEPT, SEARCH_BEAM, Tuning, tune
from asr.evaluate.wer import correct_words, score
from asr.lm.files import read_ngram
from asr.models.decoding_options import DecodingOptions
from asr.models.folder import load_model, save_model
from asr.models.hub import available_models
from asr.models.model import utterance_keys
from asr.models.neural_lm import END, LmConfig, NeuralLm, save_neural_lm
from asr.utils.config import from_dict
from asr.utils.errors import InputError


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spelled_cuts(tmp_path_factory.mktemp("dev"), spelled_texts(16, seed=5), seed=100)


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unigram_arpa(tmp_path_factory.mktemp("lm") / "words.arpa", WORDS)


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lexicon") / "words.txt"
    path.write_text("".join(f"{word}\n" for word in WORDS))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "m", speller(), "# card\n")
    return tmp_path / "m"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def asr_tune(model: Path, cuts: Path, *options: object) -> Result:
    return CliRunner().invoke(app, ["tune", str(cuts), "--model", str(model), *map(str, options)])


def check(result: Tuning, folder: Path, cuts: Path) -> None:
    """What any tuning keeps: the folder has the best of what was tried, and decodes with it unasked."""
    loaded = load_model(folder)
    assert loaded.head.decoding == result.best
    assert evaluate(loaded, cuts).as_dict() == result.score.as_dict()
    errors = {trial.options: trial.error for trial in result.trials}
    assert len(errors) == len(result.trials)  # none was tried twice
    start = result.trials[0].options
    best = errors[replace(result.best, temperature=start.temperature, calibration=start.calibration, nbest=1)]
    assert best == (result.score.words if loaded.has_words else result.score.characters).rate
    assert best <= 1.01 * min(trial.error for trial in result.trials if trial.options.beam_size in BEAMS)
    smaller = [errors[o] for o in errors if replace(o, beam_size=0) == replace(result.trials[-1].options, beam_size=0)]
    assert len(smaller) == len(BEAMS)


def test_a_language_model_is_fitted_and_kept(folder: Path, cuts: Path, lm: Path) -> None:
    greedy = evaluate(load_model(folder), cuts)
    untuned = evaluate(load_model(folder), cuts, lm=lm)
    calls: list[tuple[int, int | None]] = []
    result = tune(folder, cuts, lm=lm, progress=lambda done, total: calls.append((done, total)))
    check(result, folder, cuts)
    assert result.score.words.rate < untuned.words.rate < greedy.words.rate
    assert files(folder).keys() == {"README.md", "config.yaml", "model.safetensors", "tokens.txt", "lm.safetensors"}
    kept, given = read_ngram(folder / "lm.safetensors"), read_ngram(lm)
    assert [kept.score(text) for text in WORDS] == [given.score(text) for text in WORDS]
    assert load_model(folder).config == speller().config
    # Every point of the grid was tried, and what lies around the best.
    tried = {(o.lm_weight, o.word_score, o.prior_weight) for o in (trial.options for trial in result.trials)}
    assert tried >= {(a, b, c) for a in GRID["lm_weight"] for b in GRID["word_score"] for c in GRID["prior_weight"]}
    found = replace(result.best, beam_size=SEARCH_BEAM, temperature=1.0, calibration=(1.0, 0.0))
    for name, step in (
        ("lm_weight", 0.1),
        ("word_score", 0.375),
        ("prior_weight", 0.075),
        ("unk_score", 1.25),
        ("unk_letter_score", 0.25),
    ):
        for value in (getattr(found, name) - step, getattr(found, name) + step):
            if (value <= 0) if name == "unk_letter_score" else (value >= 0 or name in ("word_score", "unk_score")):
                assert replace(found, **{name: round(value, 4)}) in [trial.options for trial in result.trials]
    assert {trial.options.beam_size for trial in result.trials} == {*BEAMS, SEARCH_BEAM}
    assert min(min(o.lm_weight, o.prior_weight) for o in (trial.options for trial in result.trials)) == 0
    # Progress: one step more at each call, never beyond what there can be, and the end once.
    assert [done for done, _ in calls] == [*range(1, len(result.trials) + 1), len(result.trials)]
    assert all(total is not None and done < total for done, total in calls[:-1])
    assert calls[-1] == (len(result.trials), len(result.trials))
    assert len(result.trials) < calls[0][1] <= 200
    # As often as one likes: what is there is where the next one starts, and it loses nothing.
    again = tune(folder, cuts)
    check(again, folder, cuts)
    assert again.score.words.rate <= result.score.words.rate


def test_a_lexicon_is_fitted_and_kept(folder: Path, cuts: Path, lexicon: Path) -> None:
    untuned = evaluate(load_model(folder), cuts, lexicon=lexicon)
    result = tune(folder, cuts, lexicon=lexicon)
    check(result, folder, cuts)
    assert result.score.words.rate <= untuned.words.rate < evaluate(load_model(folder), cuts, greedy=True).words.rate
    assert files(folder)["lexicon.txt"] == lexicon.read_bytes()
    assert "lm.safetensors" not in files(folder)
    options = [trial.options for trial in result.trials]
    assert {(o.lm_weight, o.unk_score) for o in options} == {(0.8, -5.0)}  # there is no model
    assert len({o.word_score for o in options}) > 3
    assert len({o.prior_weight for o in options}) > 3


@pytest.mark.slow
def test_letters_may_count_instead_of_words(folder: Path, cuts: Path, lm: Path) -> None:
    assert asr_tune(folder, cuts, "--lm", lm, "--unit", "characters").exit_code == 0
    letters = load_model(folder).head.decoding
    result = tune(folder, cuts, unit="characters")
    assert result.score.unit == "characters"
    assert letters is not None
    assert result.score.characters.rate == min(trial.error for trial in result.trials)
    with pytest.raises(InputError, match=wording("counted-in-phones")):
        tune(folder, cuts, unit="phones")


@pytest.mark.slow
def test_a_model_of_letters_where_words_have_spaces(folder: Path, cuts: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{line}\n" for line in spelled_texts(400, seed=9)))
    lm = tmp_path / "letters.arpa"
    made = CliRunner().invoke(
        app, ["lm", "train", str(text), "--out", str(lm), "--model", str(folder), "--unit", "token", "--order", "4"]
    )
    assert made.exit_code == 0, made.output
    greedy = evaluate(load_model(folder), cuts, greedy=True)
    assert asr_tune(folder, cuts, "--lm", lm, "--lm-unit", "token").exit_code == 0
    found = load_model(folder)
    assert found.head.decoding is not None
    assert found.head.decoding.lm_unit == "token"
    assert evaluate(found, cuts).words.rate < greedy.words.rate / 2
    tune(folder, cuts)  # the folder's own, as it was
    again = load_model(folder).head.decoding
    assert again is not None
    assert again.lm_unit == "token"
    with pytest.raises(InputError, match="letter"):
        tune(folder, cuts, lm_unit="letter")


def test_a_larger_beam_where_it_is_worth_it(
    folder: Path, cuts: Path, lm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asr.evaluate.tuning.tune.BEAMS", (1, 30, 300))
    result = tune(folder, cuts, lm=lm)
    errors = [trial.error for trial in result.trials if trial.options.beam_size != SEARCH_BEAM]
    assert errors[0] > errors[1] == errors[2]
    assert result.best.beam_size == 30


@pytest.mark.slow
def test_what_is_not_tuned_stays(folder: Path, cuts: Path, lm: Path, lexicon: Path) -> None:
    start = DecodingOptions(
        nbest=3, hotword_boost=2.5, beam_threshold=math.inf, token_threshold=8.0, temperature=3.0, lm_unit="word"
    )
    save_model(folder, with_head(speller(), decoding=start), "# card\n")
    result = tune(folder, cuts, lm=lm, lexicon=lexicon)
    check(result, folder, cuts)
    names = ("nbest", "hotword_boost", "beam_threshold", "token_threshold", "lm_unit")
    assert [getattr(result.best, name) for name in names] == [getattr(start, name) for name in names]
    assert {trial.options.unk_score for trial in result.trials} == {-5.0}  # the LM knows every word of the lexicon
    assert {"lm.safetensors", "lexicon.txt"} <= files(folder).keys()
    before = files(folder)
    tune(folder, cuts, lm=folder / "lm.safetensors", lexicon=folder / "lexicon.txt")  # the folder's own, named
    assert {name for name, data in files(folder).items() if data != before[name]} <= {"config.yaml"}


def test_without_a_prior_its_weight_is_left_alone(
    folder: Path, cuts: Path, lm: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_model(folder, with_head(speller(), log_prior=None), "# card\n")
    result = tune(folder, cuts, lm=lm)
    check(result, folder, cuts)
    assert {trial.options.prior_weight for trial in result.trials} == {0.0}
    assert [m for m in caplog.messages if "prior" in m] == [wording("has-no-prior-of-its", folder)]


def test_characters_count_where_nothing_separates_words(folder: Path, cuts: Path, lexicon: Path) -> None:
    model = speller()
    text = replace(model.config.text, words="none")
    save_model(folder, replace(model, config=replace(model.config, text=text)), "# card\n")
    result = tune(folder, cuts, lexicon=lexicon)
    check(result, folder, cuts)
    assert result.score.error is result.score.characters
    assert result.score.error.rate > 0


@pytest.mark.slow
def test_confidences_are_made_true(folder: Path, cuts: Path, lm: Path) -> None:
    result = tune(folder, cuts, lm=lm)

    def cross_entropy(**options: Any) -> float:
        """As the confidences of another pass have it."""
        model = load_model(folder)
        found = list(recognize(model, read_cuts(cuts), decoding=build_search(model, **options)))
        words = [word for each in found for word in each.hypothesis.words]
        marks = correct_words([r.reference for r in found], [[w.text for w in r.hypothesis.words] for r in found])
        right = [mark for each in marks for mark in each]
        sure = np.clip([word.confidence for word in words], 1e-3, 1 - 1e-3)
        return float(-np.log(np.where(right, sure, 1 - sure)).mean())

    assert result.cross_entropy == (
        pytest.approx(cross_entropy(temperature=1.0, calibration=(1.0, 0.0)), abs=1e-4),
        pytest.approx(cross_entropy(), abs=1e-4),
    )
    assert result.cross_entropy[1] < 0.9 * result.cross_entropy[0]  # the model is surer than it is right
    assert result.best.calibration != (1.0, 0.0)
    slope, offset = result.best.calibration
    for calibration in ((slope + 0.3, offset), (slope, offset + 0.5), (slope, offset - 0.5), (1.0, 0.0)):
        assert cross_entropy(calibration=calibration) > result.cross_entropy[1]
    assert cross_entropy(temperature=0.4 * result.best.temperature) > result.cross_entropy[1]


def test_the_table_has_the_least_error_of_each_pair_of_weights(folder: Path, cuts: Path, lm: Path) -> None:
    result = tune(folder, cuts, lm=lm)
    head, *rows = result.surface()
    assert head[0] == "LM weight \\ word score"
    columns, weights = [float(x) for x in head[1:]], [float(row[0]) for row in rows]
    assert columns == sorted(set(columns))
    assert weights == sorted(set(weights))
    for weight, row in zip(weights, rows, strict=True):
        for word_score, cell in zip(columns, row[1:], strict=True):
            errors = [
                trial.error
                for trial in result.trials
                if (trial.options.lm_weight, trial.options.word_score) == (weight, word_score)
                and trial.options.beam_size == SEARCH_BEAM
            ]
            assert cell == (f"{100 * min(errors):.2f}" if errors else "")
            if weight in GRID["lm_weight"] and word_score in GRID["word_score"]:
                assert cell


def test_the_table_of_trials_made_by_hand() -> None:
    tried = [
        (0.5, 1.0, SEARCH_BEAM, 0.3),
        (0.5, 1.0, SEARCH_BEAM, 0.2),
        (0.5, 1.0, SEARCH_BEAM, 0.25),
        (0.5, 1.0, 10, 0.1),
        (0.25, -1.5, SEARCH_BEAM, 1.0),
    ]
    trials = [
        Trial(DecodingOptions(lm_weight=weight, word_score=word, beam_size=beam, prior_weight=i / 10), error)
        for i, (weight, word, beam, error) in enumerate(tried)
    ]
    assert Tuning(trials[0].options, score(["a"], ["a"]), tuple(trials), 2, (1.0, 1.0), 0.0).surface() == [
        ["LM weight \\ word score", "-1.5", "1"],
        ["0.25", "100.00", ""],
        ["0.5", "", "20.00"],
    ]


def test_coordinates_are_searched_in_the_order_of_the_table() -> None:
    tried: list[DecodingOptions] = []

    def error(o: DecodingOptions) -> float:
        tried.append(o)
        return abs(o.lm_weight - 1.3) + abs(o.word_score - 1.0) + abs(o.unk_score + 2.0) + 1 / (1 + o.beam_size**2)

    table = Table(
        grid={"lm_weight": (0.5, 1.0), "word_score": (0.0, 2.0)},
        steps={"lm_weight": 0.4, "word_score": 0.5},
        limits={"lm_weight": (0.0, 1.2)},
        values={"unk_score": (0.0, -1.0, -3.0, -2.0)},
        costs={"beam_size": (1, 10, 100)},
    )
    best, trials = coordinate_search(error, DecodingOptions(beam_size=50), table)
    assert [trial.options for trial in trials] == tried
    assert best == Trial(best.options, error(best.options))
    found = [getattr(best.options, name) for name in ("lm_weight", "word_score", "unk_score", "beam_size")]
    assert found == [1.2, 1.0, -2.0, 100]
    assert [(o.lm_weight, o.word_score) for o in tried[1:5]] == [(0.5, 0.0), (0.5, 2.0), (1.0, 0.0), (1.0, 2.0)]
    assert max(o.lm_weight for o in tried) == 1.2
    assert {o.unk_score for o in tried[:5]} == {0.0}
    assert [o.beam_size for o in tried[-4:]] == [1, 10, 100, 100]


def test_the_command(folder: Path, cuts: Path, lm: Path, lexicon: Path) -> None:
    done = asr_tune(folder, cuts, "--lm", lm, "--lexicon", lexicon, "--batch-seconds", "20")
    assert done.exit_code == 0, done.output
    loaded = load_model(folder)
    best = loaded.head.decoding
    assert best is not None
    assert (loaded.head.lm, loaded.head.lexicon) == (folder / "lm.safetensors", folder / "lexicon.txt")
    (line,) = done.stdout.splitlines()
    assert line.startswith(
        f"lm_weight {best.lm_weight:g}, word_score {best.word_score:g}, unk_score {best.unk_score:g}"
    )
    assert line.endswith(evaluate(loaded, cuts).summary())
    assert wording("lm-weight-word-score") in done.stderr
    assert wording("asr-written-to", folder) in done.stderr


# ------------------------------------------------------------------------------------------------ refusals


def test_a_set_that_was_trained_on_is_refused(folder: Path, cuts: Path, tmp_path: Path) -> None:
    seen = [(u.id, u.duration) for u in read_cuts(cuts)]
    for keys, count, first in ((seen, 16, "u000"), (seen[4:6], 2, "u004")):
        save_model(folder, replace(speller(), trained_on=utterance_keys(keys)), "# card\n")
        before = files(folder)
        # The same utterances elsewhere, with other texts and other audio behind them.
        shutil.copy(cuts, tmp_path / "copy.jsonl.gz")
        for path in (cuts, tmp_path / "copy.jsonl.gz"):
            done = asr_tune(folder, path)
            assert done.exit_code == 2
            assert done.stderr == (wording("asr-error-the-model-was", path, count, first))
        assert files(folder) == before


def test_other_utterances_of_the_same_ids_are_not_those_trained_on(folder: Path, cuts: Path, lexicon: Path) -> None:
    """Many corpora call theirs 0001, 0002, ...: the durations tell them apart."""
    keys = utterance_keys((u.id, u.duration + 0.5) for u in read_cuts(cuts))
    save_model(folder, replace(speller(), trained_on=keys), "# card\n")
    check(tune(folder, cuts, lexicon=lexicon), folder, cuts)
    assert load_model(folder).trained_on is not None


def rewritten(cuts: Path, to: Path, text: str | None, keep: int = 16) -> Path:
    """The manifest with another text in all its cuts but the first 16 - keep."""
    lines = [json.loads(line) for line in gzip.decompress(cuts.read_bytes()).splitlines()]
    for cut in lines[16 - keep :]:
        cut["supervisions"][0]["text"] = text
    to.write_text("".join(json.dumps(cut) + "\n" for cut in lines))
    return to


@pytest.mark.parametrize("text", ["", "?! ...", None])
def test_a_set_without_text(folder: Path, cuts: Path, tmp_path: Path, text: str | None) -> None:
    before = files(folder)
    done = asr_tune(folder, rewritten(cuts, tmp_path / "c.jsonl", text), "--lm", unigram_arpa(tmp_path / "a", WORDS))
    assert done.exit_code == 2
    assert done.stderr == wording("asr-error-c-jsonl-has", tmp_path)
    assert files(folder) == before


def test_some_utterances_without_text(folder: Path, cuts: Path, tmp_path: Path, lexicon: Path) -> None:
    some = rewritten(cuts, tmp_path / "c.jsonl", "", keep=8)
    result = tune(folder, some, lexicon=lexicon)
    check(result, folder, some)
    assert result.score.words.length == 3 * 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m", "empty.jsonl"], wording("empty-jsonl-holds-no-utterance")),
        (["m", "nowhere.jsonl"], wording("nowhere-jsonl-no-such-file")),
        (["nowhere", "empty.jsonl"], wording("nowhere-no-such-model")),
        (["m", "lost.jsonl", "--lm", "nowhere.arpa"], wording("nowhere-arpa-no-such-file")),
        (["m", "lost.jsonl", "--lm", "broken.arpa"], wording("broken-arpa-line-3")),
        (["m", "lost.jsonl", "--lexicon", "broken.txt"], wording("broken-txt-line-2-new")),
        (["m", "lost.jsonl", "--lexicon", "other.txt"], wording("none-of-its-2-words")),
        (["m", "lost.jsonl"], wording("u000-wav-no-such-file")),
        (["m", "lost.jsonl", "--batch-seconds", "0"], wording("batch-seconds-0-0-s")),
    ],
)
def test_what_cannot_be_used_is_one_line_and_changes_nothing(
    folder: Path, cuts: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of words come before the network: nobody waits for it to learn of a slip there."""
    monkeypatch.chdir(folder.parent)
    Path("empty.jsonl").write_text("")
    Path("lost.jsonl").write_bytes(gzip.decompress(cuts.read_bytes()).replace(str(cuts.parent).encode(), b"/nowhere"))
    Path("broken.arpa").write_text("\\data\\\nngram 1=2\nngram one\n")
    Path("broken.txt").write_text("cat\nnew york\n")
    Path("other.txt").write_text("xyz\nzyx\n")
    before = files(folder)
    done = asr_tune(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert files(folder) == before


def test_a_shipped_model_stays_as_it_is(cuts: Path) -> None:
    for name in available_models():
        with pytest.raises(InputError, match=wording("comes-with-the-package-and", name)):
            tune(name, cuts)


@pytest.mark.parametrize("after", [1, 60, 10**6])
def test_stopped_half_way_the_folder_is_as_it_was(
    folder: Path, cuts: Path, lm: Path, lexicon: Path, after: int
) -> None:
    before = files(folder)

    def progress(done: int, total: int | None) -> None:
        if done >= after or done == total:  # the last call comes when all is found, and nothing written
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(folder, cuts, lm=lm, lexicon=lexicon, progress=progress)
    (folder / KEPT).unlink()
    assert files(folder) == before


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\n", b'{"error {}": [0.5\n', b"[1, 2]\n", b"3\n", b'{"error {}": []}\n', b'{"a": ["b"]}\n']
)
def test_what_is_kept_may_be_damaged(folder: Path, cuts: Path, lm: Path, damage: bytes) -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    for before in (b"", None, None):
        with pytest.raises(KeyboardInterrupt):
            tune(folder, cuts, lm=lm, progress=stop)
        kept = (folder / KEPT).read_bytes()
        assert len(kept.splitlines()) == 4
        (folder / KEPT).write_bytes((kept if before is None else before) + damage)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ctc", "attention"])
def test_stopped_it_goes_on(tmp_path: Path, cuts: Path, lm: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is decoded twice, the result is the same, and what was kept is taken for the same set alone."""
    options: dict[str, Any] = {"lm": lm} if kind == "ctc" else {}
    for name in ("whole", "stopped", "other"):
        save_model(tmp_path / name, speller() if kind == "ctc" else with_decoder(ctc_weight=0.0), "# card\n")
    whole = tune(tmp_path / "whole", cuts, **options)
    assert not (tmp_path / "whole" / KEPT).exists()
    counted = 0

    def stop(done: int, total: int | None) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path / "stopped", cuts, progress=stop, **options)
    kept = (tmp_path / "stopped" / KEPT).read_text()
    assert len(kept.splitlines()) == 1 + 8
    half = '{"error {'  # of a line, as kill -9 may leave it
    for name in ("stopped", "other"):
        (tmp_path / name / KEPT).write_text(kept + half)
    beam, attention = CtcBeamDecoder.nbest, AttentionSearch.nbest

    def count_beam(self: CtcBeamDecoder, *given: Any, **more: Any) -> Any:
        nonlocal counted
        counted += 1
        return beam(self, *given, **more)

    def count_attention(self: AttentionSearch, *given: Any, **more: Any) -> Any:
        nonlocal counted
        counted += 1
        return attention(self, *given, **more)

    monkeypatch.setattr(CtcBeamDecoder, "nbest", count_beam)
    monkeypatch.setattr(AttentionSearch, "nbest", count_attention)
    for name in ("again", "fewer"):
        save_model(tmp_path / name, load_model(tmp_path / "other"), "# card\n")
    fewer = cuts.parent / "fewer.jsonl.gz"
    lines = gzip.decompress(cuts.read_bytes()).splitlines(keepends=True)
    fewer.write_bytes(gzip.compress(b"".join(lines[:-1])))
    calls, results = {}, {}
    for name, of in (("again", cuts), ("stopped", cuts), ("fewer", fewer), ("other", fewer)):
        counted = 0
        results[name] = tune(tmp_path / name, of, **options)
        calls[name] = counted
        assert not (tmp_path / name / KEPT).exists()
    for name, as_if in (("again", whole), ("stopped", whole), ("other", results["fewer"])):
        assert (results[name].best, results[name].score) == (as_if.best, as_if.score)
        assert results[name].trials == as_if.trials
    assert calls["again"] - calls["stopped"] in (8, 7)  # the best of all may be decoded once more
    assert calls["other"] == calls["fewer"]


def test_a_failure_while_writing_leaves_the_folder_as_it_was(folder: Path, cuts: Path, lm: Path, lexicon: Path) -> None:
    mine = folder.parent / "mine.txt"
    shutil.copy(lexicon, mine)
    before = files(folder)
    with pytest.raises(InputError, match=wording("lexicon-txt-cannot-be-written")):
        tune(folder, cuts, lm=lm, lexicon=mine, progress=lambda done, total: mine.unlink(missing_ok=True))
    (folder / KEPT).unlink()
    assert files(folder) == before


def test_the_runs_folder_stands_for_its_model(tmp_path: Path, cuts: Path, lexicon: Path) -> None:
    save_model(tmp_path / "exp" / "model", speller(), "# card\n")
    result = tune(tmp_path / "exp", cuts, lexicon=lexicon)
    values = yaml.safe_load((tmp_path / "exp" / "model" / "config.yaml").read_text())
    assert from_dict(DecodingOptions, values["decoding"], where="x") == result.best


@pytest.mark.slow
def test_other_vocal_tracts_are_tried(folder: Path, lm: Path, tmp_path: Path) -> None:
    """Letters said by a shorter vocal tract are heard when the mel axis is stretched back."""
    texts = spelled_texts(12, seed=3)
    higher = spelled_cuts(tmp_path, texts, seed=7, pitch=1.1)
    plain = evaluate(load_model(folder), higher, lm=lm)
    warped = evaluate(load_model(folder), higher, lm=lm, warps=(1.0, 0.94, 0.88))
    assert warped.words.rate < plain.words.rate - 0.2
    result = tune(folder, higher, lm=lm, warps=(1.0, 0.94, 0.88))
    assert result.best.warps == (1.0, 0.94, 0.88)
    assert load_model(folder).head.decoding == result.best
    assert evaluate(load_model(folder), higher).as_dict() == result.score.as_dict()
    assert asr_tune(folder, higher, "--warps", "1,1").exit_code == 0  # as without, but takes twice as long
    assert load_model(folder).head.decoding.warps == ()
    assert asr_tune(folder, higher, "--warps", "1,x").exit_code == 2
    with pytest.raises(InputError, match="warps"):
        evaluate(load_model(folder), higher, warps=(0.1,))


@pytest.mark.slow
def test_what_the_attention_decoder_is_worth(tmp_path: Path, cuts: Path, lm: Path) -> None:
    save_model(tmp_path / "m", speller(), "# card\n")
    without = tune(tmp_path / "m", cuts, lm=lm)
    save_model(tmp_path / "m", with_decoder(), "# card\n")  # it has learnt nothing
    found = tune(tmp_path / "m", cuts, lm=lm)
    assert found.score.words.errors <= without.score.words.errors
    assert found.best.search == "ctc" or found.best.ctc_weight < 1
    loaded = load_model(tmp_path / "m")
    assert loaded.head.decoding == found.best
    assert evaluate(loaded, cuts).as_dict() == found.score.as_dict()
    assert list(found.searches) == ["ctc", "two-pass", "attention"]
    assert (
        found.decodings
        == len(found.trials) + sum(len(JOINED[name]) - 1 for name in ("ctc_weight", "length_reward")) + 1
    )
    for options, scores in found.searches.values():
        assert evaluate(load_model(tmp_path / "m"), cuts, **vars(options)).as_dict() == scores.as_dict()
    assert found.score.words.errors == min(scores.words.errors for _, scores in found.searches.values())
    options, scores = found.searches["attention"]
    for weight in JOINED["ctc_weight"]:
        other = replace(options, ctc_weight=weight, length_reward=0.0)
        assert scores.words.errors <= evaluate(load_model(tmp_path / "m"), cuts, **vars(other)).words.errors


@pytest.mark.slow
def test_attention_alone(tmp_path: Path, cuts: Path, lm: Path, lexicon: Path) -> None:
    save_model(tmp_path / "m", with_decoder(ctc_weight=0.0), "# card\n")
    calls: list[tuple[int, int | None]] = []
    found = tune(tmp_path / "m", cuts, progress=lambda done, total: calls.append((done, total)))
    assert list(found.searches) == ["attention"]
    assert load_model(tmp_path / "m").head.decoding == found.best
    assert evaluate(load_model(tmp_path / "m"), cuts).as_dict() == found.score.as_dict()
    assert [done for done, _ in calls] == [*range(1, len(calls)), len(calls) - 1]
    assert {total for _, total in calls} == {len(calls) - 1}
    assert found.decodings == len(calls) - 1
    output = asr_tune(tmp_path / "m", cuts).output
    assert f"asr: {found.decodings} decodings in" in output
    assert "attention (chosen): ctc_weight 0" in output
    with pytest.raises(InputError, match="token"):
        tune(tmp_path / "m", cuts, lm=lm)
    with pytest.raises(InputError, match=wording("knows-of-no-lexicon")):
        tune(tmp_path / "m", cuts, lexicon=lexicon)


@pytest.mark.slow
def test_confidences_are_those_of_the_texts_that_are_chosen(
    tmp_path: Path, cuts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asr.evaluate.tuning.tune.RESCORE_WEIGHTS", (1.0,))
    monkeypatch.setattr("asr.evaluate.tuning.tune.ALONE", {"length_reward": (4.0,)})  # else they are empty
    model = with_decoder(ctc_weight=0.0)
    save_model(tmp_path / "m", model, "# card\n")
    torch.manual_seed(0)
    lm = NeuralLm([END, *model.tokenizer.tokens[1:]], LmConfig(hidden=8))
    with torch.no_grad():
        lm.bias[lm.index["k"]] = 5.0
    save_neural_lm(lm, tmp_path / "lm.safetensors")
    found = tune(tmp_path / "m", cuts, rescore=tmp_path / "lm.safetensors")
    tuned = load_model(tmp_path / "m")
    utterances = read_cuts(cuts)
    heard = {each.utterance.id: each for each in recognize(tuned, utterances, decoding=build_search(tuned))}
    assert any(each.nbest[0].words for each in heard.values())
    assert found.cross_entropy[1] == pytest.approx(
        cross_entropy([heard[u.id].nbest[0] for u in utterances], [u.text for u in utterances]), abs=1e-3
    )


@pytest.mark.slow
def test_tuned_again_from_a_search_by_attention(tmp_path: Path, cuts: Path) -> None:
    """What CTC's search gave with the same options is not taken for attention's."""
    save_model(tmp_path / "m", with_decoder(), "# card\n")
    first = tune(tmp_path / "m", cuts)
    model = load_model(tmp_path / "m")
    start = replace(first.searches["attention"][0], ctc_weight=JOINED["ctc_weight"][0], length_reward=0.0)
    model.head.decoding = start
    save_model(tmp_path / "m", model, "# card\n")
    again = tune(tmp_path / "m", cuts)
    options, scores = again.searches["attention"]
    for weight in JOINED["ctc_weight"]:
        other = replace(options, ctc_weight=weight, length_reward=0.0)
        assert scores.words.errors <= evaluate(load_model(tmp_path / "m"), cuts, **vars(other)).words.errors


def test_a_neural_model_is_no_first_one(folder: Path, cuts: Path, tmp_path: Path) -> None:
    save_neural_lm(
        NeuralLm([END, *load_model(folder).tokenizer.tokens[1:]], LmConfig(hidden=8)), tmp_path / "lm.safetensors"
    )
    with pytest.raises(InputError, match=wording("only-the-weight-in-choosing")):
        tune(folder, cuts, lm=tmp_path / "lm.safetensors")


@pytest.mark.slow
def test_a_decoder_that_helps_is_asked_from_then_on(
    tmp_path: Path, cuts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def knows_words(self: object, out: object, nbest: list[list[Any]]) -> list[list[float]]:
        return [[0.0 if set(h.text.split()) <= WORDS.keys() else -100.0 for h in several] for several in nbest]

    save_model(tmp_path / "ctc", speller(), "# card\n")
    without = tune(tmp_path / "ctc", cuts)
    monkeypatch.setattr("asr.decode.second_pass.TwoPassSearch.log_probs", knows_words)
    save_model(tmp_path / "m", with_decoder(), "# card\n")
    found = tune(tmp_path / "m", cuts)  # neither lexicon nor language model: unasked, attention would search
    assert found.score.words.errors < without.score.words.errors
    assert found.best.search == "two-pass"
    assert evaluate(load_model(tmp_path / "m"), cuts).as_dict() == found.score.as_dict()
