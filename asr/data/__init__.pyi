from .batches import Batch as Batch, load_batches as load_batches
from .check.check import check_data as check_data, read_splits as read_splits
from .check.report import report_text as report_text
from .cuts import Utterance as Utterance, read_cuts as read_cuts
from .elan import read_eaf as read_eaf
from .elan_writer import add_tiers as add_tiers
from .formats import FORMATS as FORMATS
from .textgrid import read_textgrid as read_textgrid
from .transcript import Hypothesis as Hypothesis, Segment as Segment, Transcript as Transcript, Word as Word
