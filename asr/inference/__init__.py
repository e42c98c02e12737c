"""Audio of any length -> transcripts, and the times of the words of a known text."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
