"""Sound: files and streams -> samples -> pieces of speech -> augmented samples -> features."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
