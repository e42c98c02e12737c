"""A model made small, to be shipped: weights of fewer bits, a pruned language model."""

from __future__ import annotations

import tempfile
from pathlib import Path

from asr.lm.compact import compact_bytes, write_compact
from asr.lm.files import read_ngram
from asr.lm.pruning import shrink
from asr.models.folder import Precision, load_model, save_model
from asr.models.hub import find_model
from asr.utils.errors import InputError
from asr.utils.files import read_text


def pack(
    model: str | Path,
    out: str | Path,
    *,
    precision: Precision = "float16",
    lm_size: int | None = None,
    card: str | Path | None = None,
) -> Path:
    """Writes a smaller copy of a model folder.

    Args:
        model: A model folder, or the run's.
        out: The folder to make.
        precision: Of the weights: float32, float16 or int8.
        lm_size: Bytes that the language model may take; it is pruned, and rounded to 256 values an order. As it is
            where None.
        card: A file that becomes its README.md, instead of the model's own.

    Raises:
        InputError: `out` is there and no model, the language model's words alone need more, ...
    """
    source = find_model(model)
    if Path(out).resolve() == source.resolve():
        raise InputError("is the model itself", where=out, remedy="name another folder")
    loaded = load_model(source)
    shared = loaded.head.lm
    if lm_size is not None and shared is None:
        raise InputError("has no language model to prune", where=source, remedy="leave lm_size out")
    text = read_text(card if card is not None else source / "README.md")
    with tempfile.TemporaryDirectory() as folder:
        if lm_size is not None and shared is not None:
            small = Path(folder) / "lm.lmz"
            write_compact(shrink(read_ngram(shared), lm_size, lambda tried: len(compact_bytes(tried))), small)
            for head in loaded.heads.values():
                head.lm = small if head.lm == shared else head.lm
        save_model(out, loaded, text, precision=precision)
    return Path(out)
