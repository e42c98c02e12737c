"""Training: the loop, checkpoints, several processes; recognisers, language models, recipes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
