"""Networks, losses, configurations; the folder that a model is shared as; language models that are networks."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.models.attention_decoder import DecoderConfig as DecoderConfig
    from asr.models.config import CriterionConfig as CriterionConfig, ModelConfig as ModelConfig
    from asr.models.decoding_options import DecodingOptions as DecodingOptions
    from asr.models.folder import load_model as load_model, save_model as save_model
    from asr.models.hub import available_models as available_models, find_model as find_model
    from asr.models.model import Model as Model
    from asr.models.neural_lm import LmConfig as LmConfig, NeuralLm as NeuralLm, read_neural_lm as read_neural_lm
    from asr.models.packing import pack as pack
    from asr.models.recognizer import Recognizer as Recognizer, build_recognizer as build_recognizer
    from asr.models.rnn import EncoderConfig as EncoderConfig

_HOMES = {
    "CriterionConfig": ".config",
    "DecoderConfig": ".attention_decoder",
    "DecodingOptions": ".decoding_options",
    "EncoderConfig": ".rnn",
    "LmConfig": ".neural_lm",
    "Model": ".model",
    "ModelConfig": ".config",
    "NeuralLm": ".neural_lm",
    "Recognizer": ".recognizer",
    "available_models": ".hub",
    "build_recognizer": ".recognizer",
    "find_model": ".hub",
    "load_model": ".folder",
    "pack": ".packing",
    "read_neural_lm": ".neural_lm",
    "save_model": ".folder",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
