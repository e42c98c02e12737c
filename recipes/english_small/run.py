#!/usr/bin/env python3
"""English, from several corpora together: the model english-small, which comes with the package.

    python recipes/mini_librispeech/run.py     # first: its weights are where training begins
    python recipes/english_small/run.py [CONFIG] [--data FOLDER] [--out FOLDER] [--seed N]

All of Mini LibriSpeech, dev and test speakers too, and all of LJ Speech that is in $ASR_DATA: nobody is left to test
on. A fortieth of the utterances chooses the epoch; the network that training begins with has learnt many of them, so
their error says nothing of others. How good such a model is, recipes/mini_librispeech tells, which is made without its
test speakers; language model, lexicon and the options of decoding are those that it found on dev.
"""

import gzip
import hashlib
import json
from pathlib import Path

from asr.train.recipe import TextModel, main
from asr.utils.files import atomic_path, data_home
from data_prep import Summary, librispeech, ljspeech

HERE = Path(__file__).resolve().parent
BEGUN = HERE.parent / "mini_librispeech" / "exp" / "blstm"
DEV_SHARE = 40


def prepare(_: None, data: Path) -> str:
    """Manifests of all utterances together: train, and dev by a hash of the id."""
    parts: list[Summary] = [
        librispeech.prepare(data_home() / "librispeech-mini", data / "librispeech"),
        ljspeech.prepare(None, data / "ljspeech"),
    ]
    lines: dict[str, list[bytes]] = {"train": [], "dev": []}
    for part in parts:
        for path in sorted(part.folder.glob("cuts_*.jsonl.gz")):
            with gzip.open(path) as f:
                for line in f:
                    digest = hashlib.blake2b(json.loads(line)["id"].encode(), digest_size=8).digest()
                    lines["dev" if int.from_bytes(digest, "big") % DEV_SHARE == 0 else "train"].append(line)
    for split, found in lines.items():
        with atomic_path(data / f"cuts_{split}.jsonl.gz") as temporary, gzip.GzipFile(temporary, "wb", mtime=0) as f:
            f.writelines(sorted(found))
    return "; ".join(map(str, parts))


if __name__ == "__main__":
    main(prepare, HERE, __doc__, language_model=TextModel(order=4, like=BEGUN), splits=("dev",))
