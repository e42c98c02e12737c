"""What a Trainer needs to train a recogniser: batches, the schedule, the dev set, where the best is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from asr.data.batches import Batch, Batches, load_batches
from asr.data.cuts import Utterance
from asr.decode.search import greedy_decoding
from asr.evaluate.evaluation import Recognized, recognize, score_unit
from asr.evaluate.wer import score
from asr.models.model import Model
from asr.models.objective import Objective
from asr.train.config import TrainConfig
from asr.train.distributed import gather
from asr.train.progress import Validation
from asr.utils.errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

BLANK_NOTE = (
    "the model hears nothing yet: CTC first learns to say blank everywhere, and letters come after some hundred"
    " steps, rather suddenly. If the loss stays where it is for a thousand, raise learning_rate or check the texts"
)


class RecognizerTask:
    """A Task: a recogniser's model, learning from utterances.

    Args:
        config: All settings, resolved.
        model: As `new_model` makes it.
        training: Utterances to learn from.
        dev: Utterances to judge by.
        fabric: Of the processes that share the work; None: this one alone.
        keep: Is called to keep the model: the best so far, with the epochs it is from, in words.
    """

    unit = "audio s"

    def __init__(
        self,
        config: TrainConfig,
        model: Model,
        training: Sequence[Utterance],
        dev: Sequence[Utterance] = (),
        *,
        fabric: Fabric | None = None,
        keep: Callable[[Validation, str], None] = lambda validation, epochs: None,
    ) -> None:
        self.config, self.model, self.training, self.dev = config, model, training, dev
        self.fabric, self.save_best = fabric, keep
        self.network, self.objective = model.recognizer, Objective(model)

    def on_epoch_start(self, epoch: int) -> None:
        """Sets what an epoch (from 0) of the schedule augments and learns."""
        config, objective = self.config, self.objective
        decoder, encoder = config.model.decoder, config.groups.get("encoder")
        objective.spec_augment = config.spec_augment.at_epoch(epoch + 1)
        parts = any(name.startswith("encoder.") for name in config.groups)  # some of it may learn
        objective.encoder_learns = encoder is None or epoch >= encoder.freeze_epochs or parts
        objective.decoder_learns = epoch + 1 >= decoder.start_epoch or not decoder.ctc_weight
        objective.warming_up = epoch < config.model.criterion.warm_up_epochs

    def batches(self, epoch: int, done: int = 0) -> tuple[int, Iterable[Batch]]:
        """The steps of an epoch (from 0), and this process's batches of those after the first `done`, augmented."""
        config, fabric = self.config, self.fabric
        rank, processes = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)
        batches = batches_of(
            config,
            self.model,
            self.training,
            seed=config.seed,
            epoch=epoch,
            shuffle=True,
            choose=config.model.tokenizer.pronunciations == "choose",
            augmentation=config.augment.at_epoch(epoch + 1),
            group=config.accumulate * processes,
            rank=rank,
            processes=processes,
            skip=done,
        )
        return batches.groups, batches

    def validate(self) -> Validation:
        """Scores the model on dev, which the processes share; the result is the same in each."""
        model, fabric = self.model, self.fabric
        search = greedy_decoding(model, token_lm=not self.objective.warming_up)
        mine = self.dev if fabric is None else self.dev[fabric.global_rank :: fabric.world_size]
        results = recognize(
            model,
            mine,
            decoding=search,
            objective=self.objective,
            batch_seconds=self.config.batch_seconds,
            num_workers=self.config.num_workers,
        )
        found = list(results)
        return _validation(model, found if fabric is None else gather(fabric, found))


def _validation(model: Model, found: Sequence[Recognized]) -> Validation:
    """Scores the results of the whole dev set."""
    results = sorted(found, key=lambda r: r.utterance.id)
    counted = [r for r in results if not r.left_out]
    unit = score_unit(model)
    comparable = [r for r in results if r.comparable]
    if not comparable:
        raise InputError("no utterance of dev has a pronunciation of every word", remedy="add them to the lexicon")
    result = score([r.reference for r in comparable], [r.hypothesis.text for r in comparable], unit=unit)
    also = f", CER {100 * result.characters.rate:.2f} %" if unit == "words" else ""
    # The example is always the same utterance, of middling length, so that one sees it come about.
    example = min(results, key=lambda r: (abs(r.utterance.duration - 3.0), r.utterance.id))
    blank = not any(r.hypothesis.text for r in results)
    return Validation(
        error=result.error.rate,
        loss=sum(r.loss for r in counted) / max(1, sum(r.tokens for r in counted)),
        summary=result.headline() + also,
        metrics={"per": result.words.rate}
        if unit == "phones"
        else {"wer": result.words.rate, "cer": result.characters.rate},
        example=(example.reference, example.hypothesis.text),
        only_blanks=blank,
        note=BLANK_NOTE if blank else "",
        characters=result.characters.rate if unit == "words" else None,
    )


def batches_of(config: TrainConfig, model: Model, utterances: Sequence[Utterance], **more: Any) -> Batches:
    """load_batches as the configuration and the model have it."""
    settings = {"batch_seconds": config.batch_seconds, "num_workers": config.num_workers, **more}
    rate = model.recognizer.sample_rate
    return load_batches(utterances, model.tokenizers, model.normalizer(), sample_rate=rate, **settings)
