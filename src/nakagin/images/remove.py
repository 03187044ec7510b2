"""Docker's rules for `rmi`: when a name goes, when the image goes with it, and what stands in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.errors import Conflict
from nakagin.images.index import KIND
from nakagin.spec.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nakagin.images.index import Index
    from nakagin.images.model import Image
    from nakagin.spec.platform import Platform
    from nakagin.storage.records import Hold, Records


class Removal:
    """One removal; `lines` says what was done as Docker's list of {"Untagged"} and {"Deleted"}."""

    def __init__(self, index: Index, records: Records, is_running: Callable[[str], bool]) -> None:
        self._index = index
        self._records = records
        self._is_running = is_running
        self.lines: list[dict[str, str]] = []
        self._siblings: list[Image] = []
        self.deleted = False

    def remove(self, text: str, *, force: bool, prune: bool) -> None:
        """Remove what `text` names. Raises NotFound or Conflict; then nothing was changed."""
        image = self._index.resolve(text)
        names = self._index.names_of(image.id)
        given = _given(text, image, names)
        self._siblings = self._index.siblings(image.id)
        with self._records.transaction():
            if given is not None:
                self._by_name(image, given, names, text, force=force, prune=prune)
            else:
                self._by_id(image, names, force=force, prune=prune)
            self._index.drop_unnamed()

    def _by_name(
        self,
        image: Image,
        given: Reference,
        names: Sequence[Reference],
        text: str,
        *,
        force: bool,
        prune: bool,
    ) -> None:
        holds = self._records.holders(KIND, image.id)
        if holds and not force and _is_single(names):
            raise Conflict(
                f"conflict: unable to remove repository reference {_quoted(text)} (must force) - "
                f"{_user(holds[0])} is using its referenced image {_short(image.id)}",
                hint="remove the container first, or force",
            )
        self._untag(given)
        left = self._index.names_of(image.id)
        if not given.digest and not any(name.tag and name.name == given.name for name in left):
            for name in left:
                if name.digest and name.name == given.name:
                    self._untag(name)
        if self._index.names_of(image.id):
            return
        if self._obstacle(image, force=force, names=()) is None:
            self._delete(image, prune=prune)

    def _by_id(self, image: Image, names: Sequence[Reference], *, force: bool, prune: bool) -> None:
        several = () if _is_single(names) else names
        if obstacle := self._obstacle(image, force=force, names=several):
            raise obstacle
        for name in names:
            self._untag(name)
        self._delete(image, prune=prune)

    def _untag(self, name: Reference) -> None:
        self._index.untag(name)
        self.lines.append({"Untagged": name.familiar()})

    def _obstacle(self, image: Image, *, force: bool, names: Sequence[Reference]) -> Conflict | None:
        """Why the image cannot be deleted. Some reasons hold even against force."""
        holds = self._records.holders(KIND, image.id)
        for hold in holds:
            if self._is_running(hold.holder):
                return _conflict(image, "cannot be forced", f"image is being used by running {_user(hold)}")
        if any(other.record.parent == image.id for other in self._index.all()):
            return _conflict(image, "cannot be forced", "image has dependent child images")
        if force:
            return None
        if names:
            return _conflict(image, "must be forced", "image is referenced in multiple repositories")
        if holds:
            return _conflict(image, "must be forced", f"image is being used by stopped {_user(holds[0])}")
        return None

    def _delete(self, image: Image, *, prune: bool) -> None:
        """Delete an image, the other platforms of it that nothing else names or uses, and nameless parents."""
        siblings, self._siblings = self._siblings, []
        self._index.forget(image.id)
        self.lines.append({"Deleted": image.id})
        self.deleted = True
        for other in siblings:
            known = self._index.find(other.id)
            if (
                known
                and not self._index.names_of(other.id)
                and self._obstacle(known, force=False, names=()) is None
            ):
                self._index.forget(other.id)
                self.lines.append({"Deleted": other.id})
        parent = image.record.parent
        if not prune or not parent:
            return
        above = self._index.find(parent)
        if above and above.dangling and self._obstacle(above, force=False, names=()) is None:
            self._delete(above, prune=True)

    def remove_platform(self, text: str, platform: Platform, *, force: bool) -> None:
        """Remove one platform of an image; its names stay with the others. Raises NotFound or Conflict."""
        image = self._index.resolve(text, platform)
        if not self._index.siblings(image.id):
            raise Conflict(
                f"conflict: unable to delete {_short(image.id)} (cannot be forced) - "
                f"{platform} is the only platform of {text} here",
                hint="remove the image without --platform",
            )
        if obstacle := self._obstacle(image, force=force, names=()):
            raise obstacle
        self._index.forget(image.id)
        self.lines.append({"Deleted": image.id})
        self.deleted = True


def _given(text: str, image: Image, names: Sequence[Reference]) -> Reference | None:
    """The name that was meant, or None where the image was given by its ID."""
    if image.id.startswith((text, f"sha256:{text}")) and not any(
        text in (n.familiar_name, str(n)) for n in names
    ):
        return None
    wanted = Reference.parse(text).tagged()
    plain = wanted.with_digest(wanted.digest) if wanted.digest else wanted
    return plain if plain in names else None


def _is_single(names: Sequence[Reference]) -> bool:
    """Whether all names are one tag and digests of the same repository."""
    if len(names) <= 1:
        return True
    return len({name.name for name in names}) == 1 and sum(1 for name in names if name.tag) <= 1


def _conflict(image: Image, forcing: str, why: str) -> Conflict:
    return Conflict(f"conflict: unable to delete {_short(image.id)} ({forcing}) - {why}")


def _user(hold: Hold) -> str:
    kind, _, name = hold.holder.partition(":")
    return f"{kind} {name[:12]}"


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]


def _quoted(text: str) -> str:
    return f'"{text}"'
