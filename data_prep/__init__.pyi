from ._manifest import (
    Listed as Listed,
    Source as Source,
    Summary as Summary,
    find_files as find_files,
    opened as opened,
    pair as pair,
    read_lines as read_lines,
    write_corpus as write_corpus,
)
from ._splits import (
    drop_repeats as drop_repeats,
    share_at_random as share_at_random,
    share_by_speaker as share_by_speaker,
)
