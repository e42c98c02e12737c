"""Options of decoding that are found on a dev set."""
