"""Corpora: one module each, with `prepare(corpus_dir, out_dir)` and, where it may be fetched, `download()`."""
