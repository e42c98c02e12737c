"""Networks, losses, configurations; the folder that a model is shared as; language models that are networks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
