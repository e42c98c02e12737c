"""What will go wrong in training, looked for before it does: texts, characters, audio, splits, lengths.

`check_data` finds facts and faults, `report_text` puts them on a screen, `Report.as_dict` into JSON. Thresholds are
such that a clean corpus (LibriSpeech) has no finding; docs/data.md tells what each means.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
