"""Regular expressions that compile when they are first used; a host pays nothing for the others."""

import re
from collections.abc import Callable
from functools import cached_property

__all__ = ["Lazy"]


class Lazy:
    """A regular expression that is compiled at its first use.

    Compiling the patterns of `stack_hash` takes 30 ms and making them lazily 0.1 ms. A method is
    bound once and then lies in the instance's own dictionary. Two threads that are first at the
    same time both compile; either result will do.

    Parameters
    ----------
    source : the pattern; flags are written inside it, `(?i)`.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The compiled pattern."""
        return re.compile(self.source)

    @cached_property
    def search(self) -> Callable[[str], re.Match[str] | None]:
        """`re.Pattern.search`."""
        return self.compiled.search

    @cached_property
    def match(self) -> Callable[[str], re.Match[str] | None]:
        """`re.Pattern.match`."""
        return self.compiled.match

    @cached_property
    def fullmatch(self) -> Callable[[str], re.Match[str] | None]:
        """`re.Pattern.fullmatch`."""
        return self.compiled.fullmatch

    @cached_property
    def findall(self) -> Callable[[str], list[str]]:
        """`re.Pattern.findall`."""
        return self.compiled.findall

    @cached_property
    def split(self) -> Callable[[str], list[str]]:
        """`re.Pattern.split`, for a pattern whose groups always take part."""
        return self.compiled.split

    @cached_property
    def sub(self) -> Callable[..., str]:
        """`re.Pattern.sub`."""
        return self.compiled.sub

    @cached_property
    def subn(self) -> Callable[..., tuple[str, int]]:
        """`re.Pattern.subn`."""
        return self.compiled.subn
