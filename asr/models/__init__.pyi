from .attention_decoder import AttentionDecoderConfig as AttentionDecoderConfig
from .config import IntermediateConfig as IntermediateConfig, ModelConfig as ModelConfig
from .criterion import Criterion as Criterion, CriterionConfig as CriterionConfig, CtcConfig as CtcConfig
from .ctc_crf import CtcCrfConfig as CtcCrfConfig
from .decoder import Decoder as Decoder, DecoderConfig as DecoderConfig, StepDecoder as StepDecoder
from .decoding_options import DecodingOptions as DecodingOptions
from .encoder import Encoder as Encoder, EncoderConfig as EncoderConfig, EncoderStates as EncoderStates
from .folder import load_model as load_model, save_model as save_model
from .hub import available_models as available_models, find_model as find_model
from .losses import Loss as Loss, ctc_loss as ctc_loss
from .model import Model as Model
from .neural_lm import LmConfig as LmConfig, NeuralLm as NeuralLm, read_neural_lm as read_neural_lm
from .packing import pack as pack
from .recognizer import Recognizer as Recognizer, build_recognizer as build_recognizer
from .rnn import RnnConfig as RnnConfig
from .transformer import TransformerConfig as TransformerConfig, TransformerDecoderConfig as TransformerDecoderConfig
