"""Several heads on one encoder, phones through a lexicon, pieces and words: trained on tones, then used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
import torch
from helpers import SMALL, tone_data, tone_table, tone_words
from typer.testing import CliRunner
from wording import wording

from asr.cli import app
from asr.data.check import check_data, read_splits
from asr.data.cuts import read_cuts
from asr.decode.search import build_search
from asr.evaluate.evaluation import evaluate, recognize
from asr.evaluate.tuning.tune import tune
from asr.inference.transcriber import Transcriber
from asr.models.attention_decoder import AttentionDecoderConfig
from asr.models.config import IntermediateConfig, ModelConfig
from asr.models.folder import load_model, save_model
from asr.models.objective import Objective
from asr.text.lexicon import Lexicon
from asr.text.normalize import TextConfig
from asr.text.tokenizer import PhoneTokenizer, TokenizerConfig
from asr.train.config import TrainConfig
from asr.train.progress import SilentMonitor
from asr.train.recognizer import new_model, resolve, train_recognizer
from asr.train.task import RecognizerTask
from asr.utils.config import read_config
from asr.utils.errors import InputError
from asr.utils.masks import reverse_index
from data_prep import table

pytestmark = pytest.mark.slow  # models of seconds are trained here

CONFIG = replace(SMALL, epochs=10, model=replace(SMALL.model, encoder=replace(SMALL.model.encoder, factor=2)))
LEXICON = "low\tL OW\nhigh\tHH AY\n"


def config(**changes: object) -> TrainConfig:
    return replace(CONFIG, model=replace(CONFIG.model, **changes))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    return tone_data(folder, 200)


@pytest.fixture(scope="module")
def two_heads(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with phones and characters."""
    out = tmp_path_factory.mktemp("two") / "run"
    (out.parent / "lexicon.txt").write_text(LEXICON)
    tokens = TokenizerConfig(lexicon=str(out.parent / "lexicon.txt"))
    train_recognizer(config(tokenizer=tokens, heads=("phones", "characters")), data, out)
    return out


runner = CliRunner()
SPEECH = tone_words(["high", "low", "high"], seed=99)


def test_both_heads_are_usable(two_heads: Path, data: Path) -> None:
    folder = two_heads / "model"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"tokens.txt", "tokens-characters.txt", "pronunciations.txt"}
    assert (folder / "tokens.txt").read_text().split() == ["<blank>", "AY", "HH", "L", "OW"]
    assert "low\tL OW\tuser" in (folder / "pronunciations.txt").read_text()
    for head, token in (("phones", "HH"), ("characters", "h")):
        model = load_model(folder, head=head)
        assert token in model.tokenizer.tokens
        assert model.recognizer.head.out_features == len(model.tokenizer)
        assert model.head.log_prior is not None
        assert len(model.head.log_prior) == len(model.tokenizer)
        assert Transcriber(model, vad=False).transcribe(SPEECH, 8000).text == "high low high"
        assert evaluate(model, data / "cuts_test.jsonl.gz").words.rate < 0.1
    assert load_model(folder).tokenizer.kind == "phones"
    with pytest.raises(InputError, match=wording("no-head-bpe-it-has")):
        load_model(folder, head="bpe")


def test_a_decoder_is_of_the_first_head(data: Path, tmp_path: Path) -> None:
    (tmp_path / "lexicon.txt").write_text(LEXICON)
    made = config(
        tokenizer=TokenizerConfig(lexicon=str(tmp_path / "lexicon.txt")),
        heads=("phones", "characters"),
        decoder=AttentionDecoderConfig(hidden=24, embedding=8, attention_dim=16, start_epoch=2),
    )
    train_recognizer(made, data, tmp_path / "run")
    of_phones = load_model(tmp_path / "run" / "model")
    for search, text in (("two-pass", "high low high"), ("attention", "HH AY L OW HH AY")):
        assert Transcriber(of_phones, vad=False, search=search).transcribe(SPEECH, 8000).text == text
        assert evaluate(of_phones, data / "cuts_test.jsonl.gz", search=search).words.rate < 0.1
    assert build_search(of_phones).facts["search"] == "two-pass"  # words need the lexicon
    of_characters = load_model(tmp_path / "run" / "model", head="characters")
    assert Transcriber(of_characters, vad=False).transcribe(SPEECH, 8000).text == "high low high"
    assert evaluate(of_characters, data / "cuts_test.jsonl.gz").words.rate < 0.1
    with pytest.raises(InputError, match="attention"):
        build_search(of_characters, search="attention")


def test_phones_greedily(two_heads: Path) -> None:
    heard = Transcriber(load_model(two_heads / "model"), vad=False, greedy=True).transcribe(SPEECH, 8000)
    assert heard.text == "HH AY L OW HH AY"
    assert [word.text for word in heard.words] == heard.text.split()


@pytest.mark.parametrize("pronunciations", ["first", "choose"])
def test_the_pronunciation_that_is_heard_is_learnt(pronunciations: str, tmp_path: Path) -> None:
    """High tones are written "high" or "hi"; of "high" the lexicon has first what is said of low ones."""
    made = tone_table(tmp_path / "audio", 200)
    lines = made.read_text().splitlines()
    half = [line.replace("high", "hi").replace("High", "Hi") if i % 2 else line for i, line in enumerate(lines)]
    made.write_text("\n".join(half) + "\n")
    (tmp_path / "lexicon.txt").write_text("low\tL OW\nhigh\tL OW\nhigh\tHH AY\nhi\tHH AY\n")
    tokens = TokenizerConfig(kind="phones", lexicon=str(tmp_path / "lexicon.txt"), pronunciations=pronunciations)
    prepared = table.prepare(made, tmp_path / "data").folder
    train_recognizer(config(tokenizer=tokens), prepared, tmp_path / "run")
    model = load_model(tmp_path / "run" / "model")
    sure = []
    for seed in range(8):
        samples = torch.from_numpy(tone_words(["high"], seed=seed))[None]
        log_probs, _ = model.recognizer.log_probs(*model.recognizer.features(samples, torch.tensor([samples.shape[1]])))
        sure.append(log_probs[0].exp()[:, model.tokenizer.tokens.index("AY")].max())
    assert (float(torch.stack(sure).mean()) > 0.8) == (pronunciations == "choose")


def test_phones_without_words_are_scored_as_phones(two_heads: Path, data: Path, tmp_path: Path) -> None:
    import json

    model = load_model(two_heads / "model")
    result = evaluate(model, data / "cuts_test.jsonl.gz", tmp_path / "r", greedy=True)
    assert result.unit == "phones"
    assert result.headline().startswith("PER ")
    scores = json.loads((tmp_path / "r" / "scores.json").read_text())
    assert scores["headline"] == "per"
    assert scores["per"]["length"] == result.words.length
    assert (scores["model"], scores["head"]) == ("run", "phones")
    row = json.loads((tmp_path / "r" / "hypotheses.jsonl").read_text().splitlines()[0])
    assert set(row["reference"].split()) <= {"HH", "AY", "L", "OW"}
    assert "PER" in (two_heads / "model" / "README.md").read_text()


def two_words(data: Path, folder: Path, word: str) -> Path:
    """The cuts of test that say nothing but this word."""
    import gzip
    import json

    rows = [json.loads(line) for line in gzip.decompress((data / "cuts_test.jsonl.gz").read_bytes()).splitlines()]
    alone = [row for row in rows if set(row["supervisions"][0]["text"].lower().strip("!").split()) == {word}]
    path = folder / f"cuts_{word}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in alone))
    return path


def test_a_lexicon_for_one_head_leaves_the_other_alone(two_heads: Path, data: Path, tmp_path: Path) -> None:
    folder, cuts = tmp_path / "model", data / "cuts_test.jsonl.gz"
    save_model(folder, load_model(two_heads / "model"), "# card\n")
    phones = evaluate(load_model(folder), cuts)
    greedy = evaluate(load_model(folder), cuts, greedy=True)
    (tmp_path / "spelled.txt").write_text("low\nhigh\nhalo\n")
    tune(folder, data / "cuts_dev.jsonl.gz", head="characters", lexicon=tmp_path / "spelled.txt")
    assert load_model(folder, head="characters").head.lexicon == folder / "lexicon-characters.txt"
    assert evaluate(load_model(folder, head="characters"), cuts).words.rate < 0.1
    assert evaluate(load_model(folder), cuts) == phones
    # More words to hear change nothing of what was learnt: the phone error rate is what it was.
    (tmp_path / "more.txt").write_text("low\tL OW\nlowly\tL OW L\n")
    tune(folder, data / "cuts_dev.jsonl.gz", lexicon=tmp_path / "more.txt")
    assert set(evaluate_texts(folder, cuts)) <= {"low", "lowly"}
    assert evaluate(load_model(folder), cuts, greedy=True) == greedy


def evaluate_texts(folder: Path, cuts: Path) -> list[str]:
    model = load_model(folder)
    found = recognize(model, read_cuts(cuts), decoding=build_search(model))
    return [word for each in found for word in each.hypothesis.text.split()]


def test_each_head_is_tuned_by_itself(two_heads: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(folder, load_model(two_heads / "model"), "# card\n")
    tuned = tune(folder, data / "cuts_dev.jsonl.gz", head="characters")
    assert load_model(folder).head.decoding is None
    assert load_model(folder, head="characters").head.decoding == tuned.best
    both = tune(folder, data / "cuts_dev.jsonl.gz")
    assert load_model(folder).head.decoding == both.best
    assert load_model(folder, head="characters").head.decoding == tuned.best
    copy = tmp_path / "copy"  # saved with the other head in use: the same folder
    save_model(copy, load_model(folder, head="characters"), "# card\n")
    for path in folder.iterdir():
        assert (copy / path.name).read_bytes() == path.read_bytes() or path.name == "model.safetensors", path.name
    one, other = load_model(folder), load_model(copy)
    assert one.recognizer.state_dict().keys() == other.recognizer.state_dict().keys()
    assert all(torch.equal(value, other.recognizer.state_dict()[k]) for k, value in one.recognizer.state_dict().items())
    assert torch.equal(one.head.log_prior, other.head.log_prior)


def test_from_the_command_line(two_heads: Path, data: Path) -> None:
    cuts, folder = str(data / "cuts_test.jsonl.gz"), str(two_heads / "model")
    assert "PER" in runner.invoke(app, ["evaluate", cuts, "--model", folder, "--greedy"]).stdout
    assert "WER" in runner.invoke(app, ["evaluate", cuts, "--model", folder, "--head", "characters"]).stdout
    result = runner.invoke(app, ["evaluate", cuts, "--model", folder, "--head", "words"])
    assert result.exit_code == 2
    assert wording("no-head-words") in result.stderr


def test_missing_parts(two_heads: Path, tmp_path: Path) -> None:
    for name in ("tokens-characters.txt", "pronunciations.txt"):
        folder = tmp_path / name.split(".")[0]
        save_model(folder, load_model(two_heads / "model"), "# card\n")
        (folder / name).unlink()
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            load_model(folder)


@pytest.mark.parametrize("kind", ["words", "bpe", "unigram"])
def test_other_tokens(kind: str, data: Path, tmp_path: Path) -> None:
    tokens = TokenizerConfig(kind=kind, size=0 if kind == "words" else 12 if kind == "bpe" else 10)
    result = train_recognizer(config(tokenizer=tokens), data, tmp_path / "run")
    assert result.best.error < 0.2
    model = load_model(tmp_path / "run" / "model")
    assert any(token.startswith("\u2581") for token in model.tokenizer.tokens)
    greedy = Transcriber(model, vad=False).transcribe(SPEECH, 8000)
    assert [word.text for word in greedy.words] == greedy.text.split()
    assert (greedy.words[0].text, greedy.words[-1].text) == ("high", "high")
    assert greedy.words[-1].start - greedy.words[0].start == pytest.approx(2 * 0.45, abs=0.15)
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("low\nhigh\n")
    for options in ({"greedy": True}, {"lexicon": lexicon}, {"beam_size": 20}):
        assert evaluate(model, data / "cuts_test.jsonl.gz", **options).words.rate < 0.25


def test_utterances_without_pronunciation_are_left_out_and_named(data: Path, tmp_path: Path) -> None:
    class Notes:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def note(self, line: str) -> None:
            self.lines.append(line)

        def __getattr__(self, name: str) -> object:
            return lambda *args, **kwargs: None

    import asr.text.tokenizer

    lexicon = asr.text.tokenizer.Lexicon((("low", ("L", "OW")),))
    with pytest.MonkeyPatch.context() as patch:  # as where nothing may be guessed
        patch.setattr(asr.text.tokenizer, "training_lexicon", lambda config, texts: lexicon)
        notes = Notes()
        settings = config(tokenizer=TokenizerConfig(kind="phones", language="en"))
        with pytest.raises(InputError, match=wording("texts-with-words-that-have")):
            train_recognizer(replace(settings, epochs=1), data, tmp_path / "run", monitor=notes)
        train_recognizer(replace(settings, epochs=1), data, tmp_path / "run", monitor=notes, check=False)
        model = load_model(tmp_path / "run" / "model")
        with pytest.raises(InputError, match=wording("no-utterance-has-a-pronunciation")):
            evaluate(model, two_words(data, tmp_path, "high"), greedy=True)
        assert evaluate(model, two_words(data, tmp_path, "low"), greedy=True).words.length > 0
    (line,) = [line for line in notes.lines if "no pronunciation" in line]
    assert "'high'" in line
    assert len(model.trained_on) < 100  # only what was learnt counts as known


def test_every_head_is_checked_before_training(data: Path) -> None:
    """At 16 frames in one, characters do not fit; that they are the second head changes nothing."""
    model = replace(CONFIG.model, encoder=replace(CONFIG.model.encoder, factor=16), heads=("words", "characters"))
    report = check_data(read_splits(data), model)
    assert [finding.kind for finding in report.fatal] == ["does-not-fit"]
    assert "more characters than their audio has frames" in report.fatal[0].what


def test_configurations_that_make_no_sense(tmp_path: Path, data: Path) -> None:
    with pytest.raises(InputError, match="twice"):
        ModelConfig(heads=("phones", "phones"))
    with pytest.raises(InputError, match="head_weights"):
        ModelConfig(heads=("phones", "characters"), head_weights=(1.0,))
    with pytest.raises(InputError, match="head_weights: "):
        ModelConfig(heads=("phones", "characters"), head_weights=(1.0, 0.0))
    made = read_config(TrainConfig, None, ["model.heads=[phones,characters]", "model.head_weights=[3,1]"])
    assert made.model.kinds == ("phones", "characters")
    with pytest.raises(InputError, match="letters"):
        read_config(TrainConfig, None, ["model.heads=[phones,letters]"])
    for weight in (float("inf"), float("nan")):
        with pytest.raises(InputError, match="head_weights: "):
            ModelConfig(heads=("phones", "characters"), head_weights=(weight, 1.0))
    with pytest.raises(InputError, match=wording("size-means-nothing-for-characters")):
        ModelConfig(heads=("characters", "phones"), tokenizer=TokenizerConfig(size=40))
    assert ModelConfig(heads=("characters", "bpe"), tokenizer=TokenizerConfig(size=40)).tokenizer_of("bpe").size == 40
    with pytest.raises(InputError, match=wording("phones-is-none-of-the")):
        ModelConfig(heads=("characters",), tokenizer=TokenizerConfig(kind="phones"))
    with pytest.raises(InputError, match=wording("need-words-and-the-texts")):
        ModelConfig(heads=("phones",), text=TextConfig(words="none"))
    with pytest.raises(InputError, match=wording("no-such-file")):
        train_recognizer(
            config(tokenizer=TokenizerConfig(kind="phones", lexicon=str(tmp_path / "none.txt"))), data, tmp_path / "run"
        )
    with pytest.raises(InputError, match=wording("phones-need-pronunciations")):
        train_recognizer(config(heads=("phones",)), data, tmp_path / "run")
    with pytest.raises(InputError, match=wording("do-not-give-999-pieces")):
        train_recognizer(config(tokenizer=TokenizerConfig(kind="bpe", size=999)), data, tmp_path / "run")


def test_a_layer_within_learns_the_first_heads_tokens(data: Path, tmp_path: Path) -> None:
    encoder = replace(CONFIG.model.encoder, layers=3)
    settings = config(encoder=encoder, heads=("characters", "words"), intermediate=IntermediateConfig(layer=2))
    training = read_cuts(data / "cuts_train.jsonl.gz")[:20]
    model = new_model(resolve(settings, training), training, name="m", monitor=SilentMonitor())
    recognizer = model.recognizer.eval()
    task = RecognizerTask(resolve(settings, training), model, training)
    batch = next(iter(task.batches(0)[1]))
    loss = task.objective(batch)

    # By hand: the heads' mean counts for 0.8, CTC of the second of three layers for 0.2.
    x, lens = recognizer.encoder.subsampling(*recognizer.frontend(batch.samples, batch.sample_lens))
    reverse = reverse_index(lens, x.shape[1])
    outputs = []
    for layer in recognizer.encoder.layers:
        outputs.append(x := layer(x, reverse))

    def ctc(head: torch.nn.Module, layer: int, kind: str) -> torch.Tensor:
        log_probs = head(outputs[layer]).log_softmax(2).transpose(0, 1)
        target = batch.targets[kind]
        return torch.nn.functional.ctc_loss(log_probs, target.tokens, lens, target.lens, reduction="sum")

    heads = recognizer.heads
    expected = 0.4 * ctc(heads["characters"], 2, "characters") + 0.4 * ctc(heads["words"], 2, "words")
    expected += 0.2 * ctc(recognizer.intermediate_head, 1, "characters")
    assert loss.sum.item() == pytest.approx(expected.item(), rel=1e-4)
    assert loss.count == batch.targets["characters"].lens.sum()

    save_model(tmp_path / "m", model, "# card\n")
    loaded = load_model(tmp_path / "m")
    assert Objective(loaded)(batch).sum.item() == pytest.approx(loss.sum.item(), rel=1e-5)
    model.use_head("words")  # whichever is used: what lies within stays the first one's
    assert task.objective(batch).sum.item() == pytest.approx(loss.sum.item(), rel=1e-5)
    with pytest.raises(InputError, match=wording("intermediate-layer-3-is-not")):
        config(encoder=encoder, intermediate=IntermediateConfig(layer=3))


def test_words_of_dev_alone_have_pronunciations_too(tmp_path: Path) -> None:
    """The phone error rate is over all of dev, not only over utterances whose words are all in the training texts."""
    rows = [(f"a{i}", "low") for i in range(12)] + [(f"b{i}", "low high") for i in range(3)]
    lines = []
    for key, text in rows:
        soundfile.write(tmp_path / f"{key}.wav", tone_words(text.split(), seed=len(lines)), 8000)
        lines.append(f"{key}.wav,{text},{'dev' if key.startswith('b') else 'train'}")
    (tmp_path / "table.csv").write_text("path,text,split\n" + "\n".join(lines) + "\n")
    data = table.prepare(tmp_path / "table.csv", tmp_path / "data").folder
    (tmp_path / "lexicon.txt").write_text("low\tL OW\nhigh\tOW L\n")
    tokens = TokenizerConfig(lexicon=str(tmp_path / "lexicon.txt"), kind="phones")
    out = tmp_path / "run"
    train_recognizer(replace(config(tokenizer=tokens), epochs=1), data, out, check=False)
    tokenizer = load_model(out / "model").tokenizer
    assert isinstance(tokenizer, PhoneTokenizer)

    without = PhoneTokenizer(tokenizer.tokens, Lexicon((("low", ("L", "OW")),)))
    assert without.encode_known("low high") == (tokenizer.encode("low"), ["high"])
    without.also_knows(Lexicon((("high", ("OW", "L")), ("low", ("L",)), ("why", ("W", "AY")))))
    assert without.encode_known("low high why") == (without.encode("low") + without.encode("high"), ["why"])
    assert without.encode_known("low")[0] == tokenizer.encode_known("low")[0]  # what it knew stays as it was
    without.save(tmp_path / "tokens.txt")
    assert "high" not in (tmp_path / "pronunciations.txt").read_text()


def test_features_normalised_by_speaker(data: Path, tmp_path: Path) -> None:
    settings = config(features=replace(CONFIG.model.features, normalize="speaker"))
    train_recognizer(replace(settings, epochs=4), data, tmp_path / "run")
    model = load_model(tmp_path / "run" / "model")
    assert not model.recognizer.frontend.normalizer.speakers
    alone = evaluate(model, data / "cuts_test.jsonl.gz").characters.rate  # a table without speakers
    speakers = model.recognizer.frontend.normalizer.speakers
    assert speakers.keys() == {f"utterance {u.id}" for u in read_cuts(data / "cuts_test.jsonl.gz")}
    assert alone < 0.5
    assert Transcriber(model, vad=False).transcribe(SPEECH, 8000).text  # a file has nobody's statistics but its own
