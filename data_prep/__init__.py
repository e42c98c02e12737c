"""Corpora: a module each, with `prepare` and, where it may be, `download`; and what such modules are made of."""

from typing import TYPE_CHECKING

from asr.utils.lazy import lazy_names

if TYPE_CHECKING:
    from data_prep._manifest import (
        Listed as Listed,
        Source as Source,
        Summary as Summary,
        find_files as find_files,
        opened as opened,
        pair as pair,
        read_lines as read_lines,
        write_corpus as write_corpus,
    )
    from data_prep._splits import (
        drop_repeats as drop_repeats,
        share_at_random as share_at_random,
        share_by_speaker as share_by_speaker,
    )

_HOMES = {
    "Listed": "._manifest",
    "Source": "._manifest",
    "Summary": "._manifest",
    "drop_repeats": "._splits",
    "find_files": "._manifest",
    "opened": "._manifest",
    "pair": "._manifest",
    "read_lines": "._manifest",
    "share_at_random": "._splits",
    "share_by_speaker": "._splits",
    "write_corpus": "._manifest",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
