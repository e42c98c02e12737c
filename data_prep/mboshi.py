"""Mboshi: 4.5 hours of a Bantu language (C25) of Congo-Brazzaville, three speakers, 16 kHz (Godard et al. 2018).

`<speaker>_<date>_..._<number>.wav` lies beside `.mb.cleaned`, what is said, and `.fr.cleaned`, its French translation
(github besacier/mboshi-french-parallel-corpus, folder `full_corpus_newsplit`). The publisher's `dev` is the test split;
dev is 5 % of its `train`, drawn by a hash of the utterance's id. All three speakers are in each split.
"""

from __future__ import annotations

from pathlib import Path

from asr.errors import InputError
from asr.files import data_home
from data_prep.manifest import Progress, Source, Summary, already_prepared, hash_share, read_transcript, write_corpus

_DEV_SHARE = 0.05


def prepare(corpus_dir: str | Path | None, out_dir: str | Path, *, progress: Progress | None = None) -> Summary:
    """Writes cuts of train, dev and test.

    Args:
        corpus_dir: The publisher's folder, or one above it; $ASR_DATA/mboshi where None.
        out_dir: The folder to make.
    """
    corpus_dir = Path(corpus_dir) if corpus_dir else data_home() / "mboshi"
    settings = {"corpus": "mboshi", "folder": str(corpus_dir.resolve())}
    if done := already_prepared(out_dir, settings):
        return done
    splits: dict[str, list[Source]] = {"train": [], "dev": [], "test": []}
    left_out: list[str] = []
    for folder in ("train", "dev"):
        found = _folder(corpus_dir, folder)
        audio = {path.name.removesuffix(".wav"): path for path in found.glob("[!.]*.wav")}
        texts = {path.name.removesuffix(".mb.cleaned"): path for path in found.glob("[!.]*.mb.cleaned")}
        left_out += [f"{audio[key]}: has no {key}.mb.cleaned beside it" for key in sorted(audio.keys() - texts.keys())]
        left_out += [f"{texts[key]}: has no {key}.wav beside it" for key in sorted(texts.keys() - audio.keys())]
        for key in sorted(audio.keys() & texts.keys()):
            try:
                text = read_transcript(texts[key])
            except InputError as e:
                left_out.append(str(e))
                continue
            split = "test" if folder == "dev" else "dev" if hash_share(key) < _DEV_SHARE else "train"
            splits[split].append(Source(key, audio[key], text, key.partition("_")[0]))
    return write_corpus(out_dir, splits, settings, left_out=left_out, progress=progress)


def _folder(corpus_dir: Path, name: str) -> Path:
    """The publisher's train or dev, below `corpus_dir`."""
    for above in (corpus_dir, corpus_dir / "full_corpus_newsplit", corpus_dir / "mboshi" / "full_corpus_newsplit"):
        if (above / name).is_dir():
            return above / name
    raise InputError(
        f"holds no folder {name}",
        where=corpus_dir,
        remedy="name the folder full_corpus_newsplit of github besacier/mboshi-french-parallel-corpus",
    )
