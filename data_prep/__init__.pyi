from ._files import find_files as find_files
from ._manifest import (
    Source as Source,
    Summary as Summary,
    opened as opened,
    write_corpus as write_corpus,
)
from ._splits import (
    drop_repeats as drop_repeats,
    share_at_random as share_at_random,
    share_by_speaker as share_by_speaker,
)
from ._transcripts import (
    Listed as Listed,
    pair as pair,
    read_lines as read_lines,
)
