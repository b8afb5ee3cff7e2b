"""Pictures that must share a split: those of one group, and identical ones."""

from collections.abc import Sequence
from hashlib import blake2b


def keys(hashes: Sequence[str], groups: Sequence[str] | None) -> Sequence[str]:
    """What decides each picture's split, 32 hexadecimal digits: pictures with one key share it.

    The key is the hash of the name of the picture's group, or its content's hash where it is in none (""). Where a
    picture, or copies of one, lie in several groups, these are one, which goes by the name that sorts first. So
    pictures and groups added later move none that were there, unless they join two groups, or a group and a picture.

    >>> one, two, three = keys(["5a", "5a", "7f"], ["b", "a", "b"])
    >>> one == two == three == keys(["99"], ["a"])[0]
    True
    """
    if groups is None:
        return hashes
    joined: dict[str, str] = {}
    group_of: dict[str, str] = {}
    for content, group in zip(hashes, groups, strict=True):
        if group:
            joined.setdefault(group, group)
            first, other = sorted((_first(joined, group), _first(joined, group_of.setdefault(content, group))))
            joined[other] = first
    number = {group: blake2b(_first(joined, group).encode(), digest_size=16).hexdigest() for group in joined}
    return [number[group_of[content]] if content in group_of else content for content in hashes]


def _first(joined: dict[str, str], group: str) -> str:
    """The group that stands for all that are joined with this one."""
    while joined[group] != group:
        joined[group] = joined[joined[group]]  # halves the way for the next call
        group = joined[group]
    return group
