"""Which tiers of annotation files are wanted, and whose they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from asr.data.tiers import AnnotationFile, Tier
from asr.utils.errors import InputError
from asr.utils.unicode import plain_name


def _speaker(tier: Tier) -> str:
    """Whom a tier says that it is of."""
    return tier.speaker or (tier.name.rpartition("@")[2] if "@" in tier.name else "")


class Selection:
    """Which tiers are wanted: those of some names (`*` for anything) or of a linguistic type; and whose they are.

    Raises:
        InputError: There is no such tier, or none is named and it is not clear which is meant.
    """

    def __init__(
        self,
        files: Collection[AnnotationFile],
        names: Sequence[str],
        kind: str | None,
        translation: str | None,
        *,
        where: Path,
    ) -> None:
        self.names, self.kind, self.translation = names, kind, translation
        tiers = [tier for annotated in files for tier in annotated.tiers]
        missing = [f"tier {name}" for name in names if not any(_matches(tier.name, name) for tier in tiers)]
        if kind and not any(_same(tier.type, kind) for tier in tiers):
            missing.append(f"tier of type {kind}")
        if translation and not any(map(self._translates, tiers)):
            missing.append(f"tier or type {translation}")
        if missing:
            raise InputError(f"no file has a {missing[0]}", where=where, remedy=f"there are {names_of(tiers)}")
        if not names and not kind:
            self.names = [_common_top(files, tiers, where)]
        self.speakers = _speakers_by_name([self.chosen(annotated.tiers) for annotated in files])

    def chosen(self, tiers: Iterable[Tier]) -> list[Tier]:
        """Those that are wanted."""
        return [tier for tier in tiers if self._wants(tier)]

    def _wants(self, tier: Tier) -> bool:
        return any(_matches(tier.name, name) for name in self.names) or (
            self.kind is not None and _same(tier.type, self.kind)
        )

    def translations(self, tiers: Iterable[Tier]) -> dict[str, str]:
        """Returns the translations of annotations, by the annotations' ids."""
        found: dict[str, str] = {}
        for each in (annotation for tier in tiers if self._translates(tier) for annotation in tier.annotations):
            if each.parent:
                found[each.parent] = f"{found.get(each.parent, '')} {each.text}".strip()
        return found

    def _translates(self, tier: Tier) -> bool:
        return bool(self.translation) and any(_matches(name, self.translation or "") for name in (tier.name, tier.type))

    def speaker(self, tier: Tier) -> str:
        """Whose a tier is; empty where nobody says."""
        return _speaker(tier) or (tier.name if tier.name in self.speakers else "")


def _common_top(files: Collection[AnnotationFile], tiers: Sequence[Tier], where: Path) -> str:
    """The name of the one tier with texts that all files have at the top."""
    tops = Counter(name for each in files for name in {tier.name for tier in each.tiers if not tier.parent})
    spoken = {tier.name for tier in tiers if any(annotation.text for annotation in tier.annotations)}
    if not spoken:
        raise InputError(f"no annotation has a text: {names_of(tiers)}", where=where)
    common = [name for name, count in tops.items() if count == len(files) and name in spoken]
    if len(common) != 1:
        remedy = f"name it: --tier; {names_of(tiers)}"
        raise InputError("it is not clear which tier holds the texts", where=where, remedy=remedy)
    return common[0]


def _speakers_by_name(files: Iterable[Sequence[Tier]]) -> set[str]:
    """The names of wanted tiers that are a speaker's, for want of a better: where no tier of any file says whose it is,
    those that stand beside another one in some file. (Two tiers of one name in two files may be anybody's.)"""
    tiers = [[tier for tier in each if any(annotation.text for annotation in tier.annotations)] for each in files]
    if any(_speaker(tier) for each in tiers for tier in each):
        return set()
    return {tier.name for each in tiers if len(each) > 1 for tier in each}


def _same(one: str, other: str | None) -> bool:
    return plain_name(one) == plain_name(other or "")


def _matches(name: str, pattern: str) -> bool:
    """Whether a name is a pattern's, in which * stands for anything."""
    name, pattern = plain_name(name), plain_name(pattern)
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    if not name.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        at = name.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return name.endswith(rest[-1]) and len(name) - len(rest[-1]) >= at


def names_of(tiers: Iterable[Tier]) -> str:
    """Tiers for a message: how many texts each has, and its type."""
    counts: Counter[tuple[str, str]] = Counter()
    for tier in tiers:
        counts[tier.name, tier.type] += sum(bool(annotation.text) for annotation in tier.annotations)
    shown = [f"{name!r}{f' (type {kind})' if kind else ''}: {n} texts" for (name, kind), n in counts.most_common(12)]
    return ", ".join(shown) + (f" and {len(counts) - 12} others" if len(counts) > 12 else "") or "none"
