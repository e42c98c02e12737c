"""Search: greedy, CTC prefix beam, attention, two passes, rescoring, hot words; forced alignment of tokens."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
