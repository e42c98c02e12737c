"""Corpora: a module each, with `prepare` and, where it may be, `download`; and what such modules are made of."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
