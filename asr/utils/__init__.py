"""Ground that every room stands on: errors, configuration, files, devices. No audio, no model."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from asr.utils.config import from_dict as from_dict, read_config as read_config, to_dict as to_dict
    from asr.utils.device import configure_torch as configure_torch
    from asr.utils.errors import InputError as InputError
    from asr.utils.unicode import graphemes as graphemes

_HOMES = {
    "InputError": ".errors",
    "configure_torch": ".device",
    "from_dict": ".config",
    "graphemes": ".unicode",
    "read_config": ".config",
    "to_dict": ".config",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
