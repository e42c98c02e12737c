"""Networks, losses, configurations; the folder that a model is shared as; language models that are networks."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.models.attention_decoder import AttentionDecoderConfig as AttentionDecoderConfig
    from asr.models.config import IntermediateConfig as IntermediateConfig, ModelConfig as ModelConfig
    from asr.models.criterion import Criterion as Criterion, CriterionConfig as CriterionConfig, CtcConfig as CtcConfig
    from asr.models.ctc_crf import CtcCrfConfig as CtcCrfConfig
    from asr.models.decoder import Decoder as Decoder, DecoderConfig as DecoderConfig
    from asr.models.decoding_options import DecodingOptions as DecodingOptions
    from asr.models.encoder import (
        Encoder as Encoder,
        EncoderConfig as EncoderConfig,
        EncoderStates as EncoderStates,
    )
    from asr.models.folder import load_model as load_model, save_model as save_model
    from asr.models.hub import available_models as available_models, find_model as find_model
    from asr.models.losses import Loss as Loss, ctc_loss as ctc_loss
    from asr.models.model import Model as Model
    from asr.models.neural_lm import LmConfig as LmConfig, NeuralLm as NeuralLm, read_neural_lm as read_neural_lm
    from asr.models.packing import pack as pack
    from asr.models.recognizer import Recognizer as Recognizer, build_recognizer as build_recognizer
    from asr.models.rnn import RnnConfig as RnnConfig
    from asr.models.transformer import (
        TransformerConfig as TransformerConfig,
        TransformerDecoderConfig as TransformerDecoderConfig,
    )

_HOMES = {
    "AttentionDecoderConfig": ".attention_decoder",
    "Criterion": ".criterion",
    "CriterionConfig": ".criterion",
    "CtcConfig": ".criterion",
    "CtcCrfConfig": ".ctc_crf",
    "Decoder": ".decoder",
    "DecoderConfig": ".decoder",
    "DecodingOptions": ".decoding_options",
    "Encoder": ".encoder",
    "EncoderConfig": ".encoder",
    "EncoderStates": ".encoder",
    "IntermediateConfig": ".config",
    "LmConfig": ".neural_lm",
    "Loss": ".losses",
    "Model": ".model",
    "ModelConfig": ".config",
    "NeuralLm": ".neural_lm",
    "Recognizer": ".recognizer",
    "RnnConfig": ".rnn",
    "TransformerConfig": ".transformer",
    "TransformerDecoderConfig": ".transformer",
    "available_models": ".hub",
    "build_recognizer": ".recognizer",
    "ctc_loss": ".losses",
    "find_model": ".hub",
    "load_model": ".folder",
    "pack": ".packing",
    "read_neural_lm": ".neural_lm",
    "save_model": ".folder",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
