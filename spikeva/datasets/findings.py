"""What was found wrong in a dataset's tree: each thing named, counted, with what it cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spikeva.progress import counted


@dataclass(frozen=True)
class Finding:
    """One kind of fault in one clip (or file)."""

    kind: str  # a short name, as "missing image"
    where: str  # the clip's name, or a path relative to the dataset's root
    detail: str  # what was found
    effect: str  # what is done about it
    count: int = 1  # how many frames, files ... it concerns

    def __str__(self) -> str:
        return f"{self.where}: {self.kind}: {self.detail}; {self.effect}"


def summary(findings: Iterable[Finding], examples: int = 3) -> str:
    """One line a kind: how often, where, what is done about it; empty for no finding."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    lines = []
    for kind, found in sorted(kinds.items()):
        count = sum(f.count for f in found)
        times = f"{count}" if count == len(found) else f"{count} in {counted(len(found), 'place')}"
        shown = "; ".join(f"{f.where}: {f.detail}" for f in found[:examples])
        more = f"; and {len(found) - examples} more" if len(found) > examples else ""
        effects = sorted({f.effect for f in found})
        lines.append(f"  {kind} ({times}): {shown}{more}\n    -> {'; '.join(effects)}")
    return "\n".join(lines)


def told(findings: Sequence[Finding]) -> str:
    """How the report of a dataset ends: the number of findings and their summary."""
    return f", {counted(len(findings), 'finding')}\n{summary(findings)}" if findings else ", nothing wrong"


def few(names: Sequence[object], most: int = 5) -> str:
    """The first names of a list as text."""
    return ", ".join(map(str, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
