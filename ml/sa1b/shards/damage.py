"""Which images lay in the stretches of an archive that can't be followed."""

from dataclasses import dataclass, field

from ml.sa1b.shards.annotations import Reject
from ml.sa1b.shards.tar import PADDING, Member


@dataclass
class Damage:
    """Stretches of an archive that can't be followed, each with the names of the members before and behind it."""

    stretches: list[tuple[Member, list[str]]] = field(default_factory=list)
    last: str = ""

    def pass_by(self, member: Member) -> None:
        """Take note of a member, or of a stretch, as the walk comes to it."""
        if not member.name:
            self.stretches.append((member, [self.last]))
        elif self.stretches and len(self.stretches[-1][1]) == 1:
            self.stretches[-1][1].append(member.name)
        self.last = member.name or self.last

    def lost(self, partnerless: set[str], mean_bytes: float) -> list[Reject]:
        """A reject for each image that must have lain in the stretches, at least one a stretch.

        Args:
            partnerless: members without a partner, which are rejected already: one beside a stretch has it in there.
            mean_bytes: of the images that are there, by which those that are not are counted.
        """
        found = list[Reject]()
        for stretch, around in self.stretches:
            images = round(max(0, stretch.size - PADDING) / mean_bytes) if mean_bytes else 0
            known = len(partnerless & set(around))
            reject = Reject(f"(at byte {stretch.offset})", stretch.fault, value=f"{stretch.size} bytes")
            found += [reject] * max(images - known, 0 if known else 1)
        return found
