from .config import from_dict as from_dict, read_config as read_config, to_dict as to_dict
from .device import configure_torch as configure_torch
from .errors import InputError as InputError
from .unicode import graphemes as graphemes
