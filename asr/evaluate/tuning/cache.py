"""What the decodings of a tuning gave, kept so that one that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from asr.evaluate.tuning.attention import LogProbs
from asr.models.decoding_options import DecodingOptions
from asr.utils.config import to_dict
from asr.utils.errors import InputError
from asr.utils.files import write_text

log = logging.getLogger(__name__)


class KeptDecodings:
    """Callable: options of a decoding, what computes numbers with them, and which -> those numbers, computed once, in
    this run or one that was stopped.

    Args:
        path: A file of them.
        of: What is decoded, and with what: a file of anything else is begun anew.
    """

    def __init__(self, path: Path, of: Sequence[str], log_probs: dict[float, LogProbs]) -> None:
        digest = hashlib.sha256(json.dumps(of).encode())
        for warp, several in sorted(log_probs.items()):
            digest.update(f"{warp}".encode())
            for each in several:
                digest.update(each.tobytes())
        self.path, self.found = path, dict[str, list[float]]()
        own = json.dumps({"of": digest.hexdigest()})
        lines = path.read_bytes().decode("utf-8", "replace").split("\n")[:-1] if path.is_file() else []
        if lines[:1] == [own]:  # what follows the last newline may be cut off
            try:
                self.found = {key: _numbers(value) for line in lines[1:] for key, value in json.loads(line).items()}
                log.info("%s: %s decodings are there already", path, f"{len(self.found):,}")
            except (ValueError, AttributeError, RecursionError):
                log.warning("%s is damaged: begun anew", path)
        write_text(path, "".join(f"{line}\n" for line in (lines if self.found else [own])))

    def __call__(
        self, options: DecodingOptions, compute: Callable[[], list[float]], what: str = "error"
    ) -> list[float]:
        key = f"{what} {json.dumps(to_dict(options))}"
        if key not in self.found:
            self.found[key] = compute()
            try:
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(json.dumps({key: self.found[key]}) + "\n")
            except OSError as e:
                raise InputError(f"cannot be written ({e.strerror or e})", where=self.path) from e
        return self.found[key]


def _numbers(value: object) -> list[float]:
    if not isinstance(value, list) or len(value) not in (1, 3) or not all(isinstance(each, float) for each in value):
        raise ValueError(value)
    return value
