"""TIMIT: 630 speakers of American English, ten sentences each, 16 kHz (Garofolo et al., LDC93S1). Not measured here.

`{TRAIN,TEST}/DR?/SPEAKER/SENTENCE.WAV` (SPHERE; in either case, as copies have it) lies beside `SENTENCE.TXT`, which
holds `first_sample last_sample Text.`, and `SENTENCE.PHN` with a line `first_sample last_sample phone` for each phone:
the text, where phones are asked for. Train is the publisher's (462 speakers, 3,696 utterances), test the core test (24
speakers, 192), dev 50 others of its test folder (400), as in Kaldi; the rest of that folder is in no split. The two SA
sentences, which all speakers read, are in none either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from asr.utils.errors import InputError
from data_prep._files import find_files
from data_prep._manifest import (
    Progress,
    Source,
    Summary,
    left_out_line,
    opened,
    write_corpus,
)
from data_prep._splits import drop_repeats
from data_prep._transcripts import (
    Listed,
    pair,
    read_lines,
)

_PLACE = re.compile(r"(train|test)/dr\d/(\w+)/(s[ix]\d+)(?:\.wav|\.txt|\.phn)+", re.IGNORECASE)

_LABELS = """
    b d g p t k dx q bcl dcl gcl pcl tcl kcl jh ch s sh z zh f th v dh m n ng em en eng nx l r w y hh hv el
    iy ih eh ey ae aa aw ay ah ao oy ow uh uw ux er ax ix axr ax-h pau epi h#
"""
PHONES = frozenset(_LABELS.split())  # the publisher's
# Lee and Hon, "Speaker-independent phone recognition using hidden Markov models" (1989): q is left out, and these
# allophones and closures are taken together, which leaves 48 phones to train on ...
_TO_48 = {
    **{"ux": "uw", "axr": "er", "ax-h": "ax", "em": "m", "nx": "n", "eng": "ng", "hv": "hh"},
    **{"pcl": "cl", "tcl": "cl", "kcl": "cl", "bcl": "vcl", "dcl": "vcl", "gcl": "vcl", "h#": "sil", "pau": "sil"},
}
# ... of which some are not told apart where errors are counted: 39 classes.
_TO_39 = {
    **{"cl": "sil", "vcl": "sil", "epi": "sil"},
    **{"el": "l", "en": "n", "zh": "sh", "ao": "aa", "ix": "ih", "ax": "ah"},
}


def prepare(
    corpus_dir: str | Path | None, out_dir: str | Path, *, phones: int | None = None, progress: Progress | None = None
) -> Summary:
    """Writes cuts of train, dev and test.

    Args:
        corpus_dir: The folder with TRAIN and TEST, or one above it; $ASR_DATA/timit where None.
        out_dir: The folder to make.
        phones: Texts are phones with spaces between them, of the publisher's 61, or folded to 48 or 39; where None they
            are sentences.
    """
    from lhotse.recipes.timit import get_speakers

    if phones not in (None, 61, 48, 39):
        raise InputError(f"there is no set of {phones} phones", where="phones", remedy="61, 48 or 39")
    # sentences are no setting: folders that were prepared before there were phones stay as they are
    options = {} if phones is None else {"phones": phones}
    folder, settings, done = opened("timit", corpus_dir, out_dir, page="LDC93S1, catalog.ldc.upenn.edu", **options)
    if done:
        return done
    ending = ".TXT" if phones is None else ".PHN"
    dev, test = (frozenset(speakers) for speakers in get_speakers())
    audio: dict[str, dict[str, Path]] = {"train": {}, "dev": {}, "test": {}}
    texts: dict[str, list[tuple[str, Path]]] = {"train": [], "dev": [], "test": []}
    for path in find_files(folder, ".wav", ending.lower()):
        if match := _PLACE.fullmatch("/".join(path.parts[-4:])):
            part, speaker, sentence = (group.lower() for group in match.groups())
            split = "train" if part == "train" else "dev" if speaker in dev else "test" if speaker in test else ""
            if split:
                key = f"{speaker}-{sentence}".upper()
                if path.suffix.lower() == ending.lower():
                    texts[split].append((key, path))
                else:
                    audio[split].setdefault(key, path)  # some copies have X.WAV and X.WAV.wav
    if missing := [split for split, found in texts.items() if not found]:
        example = "TRAIN/DR1/FCJF0/SI1027" if "train" in missing else "TEST/DR1/MDAB0/SI1039"
        raise InputError(
            f"holds no file like {example}{ending} for {' and '.join(missing)}",
            where=folder,
            remedy="name the folder of LDC93S1, with TRAIN and TEST in it",
        )
    splits: dict[str, list[Source]] = {}
    left_out: list[str] = []
    for split, recordings in audio.items():
        lines = _lines(texts[split]) if phones is None else _phone_lines(texts[split], phones)
        found, problems = pair(
            lines, recordings, missing="there is no .WAV beside it", unlisted=f"has no {ending} beside it"
        )
        cut = {source.id for source in found if _is_cut_short(source.audio)}
        splits[split] = [source for source in found if source.id not in cut]
        left_out += problems + [left_out_line("is cut short", source.audio) for source in found if source.id in cut]
    left_out += drop_repeats(splits)
    return write_corpus(out_dir, splits, settings, left_out=left_out, progress=progress)


# Lhotse's prepare_timit wants names in upper case, takes the SA sentences, prints, and stops where a .WRD or .PHN is
# missing; the speakers of dev and test are its lists.
def _lines(texts: Iterable[tuple[str, Path]]) -> Iterator[Listed]:
    for key, path in texts:
        lines = list(read_lines(path))
        match = re.fullmatch(r"\s*\d+\s+\d+\s+(.*)", lines[0][1]) if len(lines) == 1 else None
        problem = "" if match else "is not a line `first_sample last_sample Text.`"
        yield Listed(key, match[1].rstrip() if match else "", key.partition("-")[0], str(path), problem)


def _phone_lines(transcripts: Iterable[tuple[str, Path]], count: int) -> Iterator[Listed]:
    for key, path in transcripts:
        said: list[str] = []
        where, problem = str(path), ""
        for number, line in read_lines(path):
            match = re.fullmatch(r"\s*\d+\s+\d+\s+(\S+)\s*", line)
            if match is None or match[1] not in PHONES:
                where = f"{path}, line {number}"
                problem = f"{match[1]!r} is no phone of TIMIT" if match else "is not `first_sample last_sample phone`"
                break
            said.append(match[1])
        yield Listed(key, fold(" ".join(said), count), key.partition("-")[0], where, problem)


def fold(phones: str, count: int) -> str:
    """Phones with spaces between them, the publisher's or 48, as those of the set of 48 or 39; of 61: as they are."""
    found = phones.split()
    if count in (48, 39):
        found = [_TO_48.get(phone, phone) for phone in found if phone != "q"]
    if count == 39:
        found = [_TO_39.get(phone, phone) for phone in found]
    return " ".join(found)


def _is_cut_short(path: Path) -> bool:
    """Whether a SPHERE file is smaller than its header says: libsndfile, which decodes it, does not tell."""
    try:
        with open(path, "rb") as f:
            header = f.read(1024)
    except OSError:
        return False  # write_corpus will say why
    count = re.search(rb"sample_count -i (\d+)", header)
    sphere = header.startswith(b"NIST_1A") and b"shorten" not in header
    return bool(sphere and count and path.stat().st_size < 1024 + 2 * int(count[1]))
