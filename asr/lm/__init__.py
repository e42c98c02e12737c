"""N-gram language models: estimated, pruned, interpolated, in ARPA and binary files. No torch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
