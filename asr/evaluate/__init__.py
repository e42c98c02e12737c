"""Error rates and how sure they are, evaluation of a set, options tuned on a dev set, the report."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
