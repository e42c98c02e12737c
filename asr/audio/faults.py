"""What several readers of audio say of a file that is not as it should be."""

from __future__ import annotations

import logging
from functools import lru_cache

from asr.utils.errors import InputError

log = logging.getLogger(__name__)

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz; beyond lies no recording of speech, only a damaged header
SLACK = 64  # bytes that a header may announce too many: some writers count the header, too
_AGAIN = "copy it again, or keep what is there with `ffmpeg -i FILE new.wav`"


def cut_short(name: str, there: float, claimed: float) -> InputError:
    """Returns the error of a file in which there are fewer seconds than its header says."""
    return InputError(
        f"is cut short or damaged: its header announces {claimed:,.2f} s, {there:,.2f} s are there",
        where=name,
        remedy=_AGAIN,
    )


def cut(name: str, why: str) -> InputError:
    """Returns the error of a file that is not there to its end."""
    return InputError(f"is cut short: {why}", where=name, remedy=_AGAIN)


def no_samples(name: str) -> InputError:
    """Returns the error of a file without sound."""
    return InputError("holds no audio samples", where=name, remedy="record or copy it again")


def check_rate(rate: int, name: str) -> None:
    """Raises an InputError where a sample rate is none."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise InputError(
            f"has a sample rate of {rate} Hz", where=name, remedy="its header is damaged or it is no recording"
        )


@lru_cache(maxsize=4096)
def tell_once(message: str) -> None:
    """Logs a warning that reading a file again would only repeat."""
    log.warning("%s", message)
