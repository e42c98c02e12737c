"""Labels in transcripts: names of what is heard and not said, such as [laughter], <noise>, sil."""

from __future__ import annotations

import regex

_SOUNDS = (
    "laugh|laughs|laughing|laughter|noise|noises|inaudible|unintelligible|indistinct|unclear|music|applause|silence|pause"
    "|cough|coughs|coughing|breath|breathing|inhale|inhales|exhale|sigh|sighs|crosstalk|overlap|foreign|background|click"
    "|sneeze|beep|hesitation|xxx|rires|bruit|lachen|risas|ruido"
)
# In brackets, braces and angles anything; in parentheses and asterisks, where texts stand, too, names of sounds.
_LABEL = regex.compile(
    rf"\[[^\[\]]{{1,40}}\]|<[/\p{{L}}][^<>]{{0,40}}>|\{{[^{{}}]{{1,40}}\}}|\(+\s*(?:{_SOUNDS})[^()]{{0,30}}\)+|\*(?:{_SOUNDS})\*"
    r"|&=\p{L}+",
    regex.IGNORECASE,
)
# Of pauses, where they are a whole text: of Praat, forced aligners, CHAT.
_PAUSES = frozenset(
    ("sil", "sp", "spn", "nsn", "silence", "silent", "sounding", "pause", "pau", "xxx", "yyy", "www", "noise", "#")
)


def labels_in(text: str) -> list[str]:
    """Returns the labels of a transcript as they stand there; none where all of it is said."""
    if text.strip().casefold() in _PAUSES:
        return [text.strip()]
    return list(_LABEL.findall(text))
