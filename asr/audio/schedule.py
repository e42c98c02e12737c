"""When augmentation sets in, how strong it is, and what is drawn for it: from the seed that an utterance carries."""

from __future__ import annotations

import hashlib


def strength(epoch: int, start: int, ramp: int) -> float:
    """0 before epoch `start`, then ramp + 1 even steps up to 1."""
    return min(1.0, max(0.0, (epoch - start + 1) / (ramp + 1)))


def derived_seed(seed: int, purpose: str) -> int:
    """A 64-bit seed for one purpose: what is drawn for it does not depend on what else is drawn."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {purpose}".encode(), digest_size=8).digest(), "big")


def drawn(seed: int, purpose: str) -> float:
    """A number drawn evenly from 0 to 1, 1 excluded."""
    return (derived_seed(seed, purpose) >> 11) / (1 << 53)
