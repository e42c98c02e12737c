"""Utterances: cuts and batches, transcripts and their formats, annotation files; `check` is what validates them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
