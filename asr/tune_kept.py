"""What the decodings of a tuning gave, kept so that one that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from asr.config import to_dict
from asr.decode.options import BeamOptions
from asr.files import write_text
from asr.tune_attention import LogProbs

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
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []  # the last may be cut off
        if lines[:1] == [own]:
            for line in lines[1:]:
                self.found |= json.loads(line)
            log.info("%s: %s decodings are there already", path, f"{len(self.found):,}")
        write_text(path, "".join(f"{line}\n" for line in (lines if self.found else [own])))

    def __call__(self, options: BeamOptions, compute: Callable[[], list[float]], what: str = "error") -> list[float]:
        key = f"{what} {json.dumps(to_dict(options))}"
        if key not in self.found:
            self.found[key] = compute()
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({key: self.found[key]}) + "\n")
        return self.found[key]
