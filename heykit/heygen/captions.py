"""A script as captions: short parts of it, each with the time it takes to speak. Pure functions over text.

Text is measured in columns: one for a letter, two for a character of Chinese, Japanese or Korean, none for a mark on
the letter before. Nothing of a text is lost but spaces and control characters, and nothing is added.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

__all__ = ["Caption", "captions", "columns", "fitted", "one_line", "seconds_to_speak"]

WORDS_PER_SECOND = 2.5  # an unhurried presenter: 150 words a minute
PAUSE = 0.4  # seconds between captions
SHORTEST = 1.0  # seconds: less cannot be read
LONGEST_CAPTION = 90  # columns
_TOO_SHORT_ALONE = 30  # columns: a sentence as short as this shares its caption
_LONG_WORD = 12  # letters; Thai and others write whole clauses without a space

# XML 1.0 section 2.2: Char; without the control characters U+007F to U+009F, which the note there discourages.
_NO_TEXT = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Where to break a text that has single spaces; the space stays at the end of the piece before.
# Letters that look like others are what is meant here: RUF001 does not know these scripts.
_AFTER_SENTENCE = re.compile(r"(?<=[.!?…؟।。！？] )|(?<=[.!?…][\"'”’»)] )|(?<=[。！？])(?=[^ 」』）”])")  # noqa: RUF001
_AFTER_CLAUSE = re.compile(r"(?<=[,;:،؛、，；：] )|(?<=[、，；：])(?! )|(?<= )(?=[–—])")  # noqa: RUF001
_AFTER_WORD = re.compile(r"(?<= )")
_NO_LINE_STARTS_WITH = frozenset("。、，．！？；：」』）】》〉…ー\u200d")  # noqa: RUF001


@dataclass(frozen=True)
class Caption:
    """A part of a script: shown from `start` on, spoken for `spoken` seconds, then a pause until `end`."""

    text: str
    start: float
    spoken: float
    end: float


def captions(script: str) -> tuple[Caption, ...]:
    """Split a script into captions of at most 90 columns that follow each other without a gap; at least one."""
    made: list[Caption] = []
    start = 0.0
    for text in _parts(script) or [""]:
        spoken = seconds_to_speak(text)
        made.append(Caption(text, start, spoken, start + spoken + PAUSE))
        start = made[-1].end
    return tuple(made)


def seconds_to_speak(text: str) -> float:
    """Estimate by the words: a long one counts as several, two characters of Chinese, Japanese or Korean as one."""
    wide = sum(_width(character) == 2 for character in text)
    narrow = "".join(" " if _width(character) == 2 else character for character in text)
    words = sum(ceil(len(word) / _LONG_WORD) for word in narrow.split() if any(map(str.isalnum, word)))
    return max(SHORTEST, (words + wide / 2) / WORDS_PER_SECOND)


def fitted(text: str, limit: int) -> list[str]:
    """Break a line into lines of at most `limit` columns, at spaces where there are any."""
    return _stripped(_broken(text, limit, (_AFTER_WORD,)))


def one_line(text: str) -> str:
    """Remove what is no text to XML, and make one space of all space between words."""
    return " ".join(_NO_TEXT.sub("", " ".join(text.split())).split())


def columns(text: str) -> int:
    """Measure a text."""
    return sum(map(_width, text))


def _parts(script: str) -> list[str]:
    parts: list[str] = []
    for line in script.splitlines():
        for sentence in _AFTER_SENTENCE.split(f"{one_line(line)} "):
            if parts and _belong_together(parts[-1], sentence):
                parts[-1] += sentence
            else:
                parts += _broken(sentence, LONGEST_CAPTION, (_AFTER_CLAUSE, _AFTER_WORD))
    return _stripped(parts)


def _belong_together(before: str, after: str) -> bool:
    shorter = min(columns(before), columns(after))
    return shorter < _TOO_SHORT_ALONE and _fits(before + after, LONGEST_CAPTION)


def _broken(text: str, limit: int, breaks: Sequence[re.Pattern[str]]) -> list[str]:
    """Break a text at the first kind of places, what is still too long at the next kind, at last between characters."""
    if _fits(text, limit):
        return [text]
    if not breaks:
        return _chopped(text, limit)
    pieces = breaks[0].split(text)
    return _packed((part for piece in pieces for part in _broken(piece, limit, breaks[1:])), limit)


def _packed(pieces: Iterable[str], limit: int) -> list[str]:
    packed: list[str] = []
    for piece in pieces:
        if packed and _fits(packed[-1] + piece, limit):
            packed[-1] += piece
        else:
            packed.append(piece)
    return packed


def _fits(text: str, limit: int) -> bool:
    return columns(text.rstrip()) <= limit


def _stripped(parts: Iterable[str]) -> list[str]:
    return [part for part in map(str.strip, parts) if part]


def _chopped(text: str, limit: int) -> list[str]:
    parts: list[str] = []
    while not _fits(text, limit):
        end = _cut(text, limit)
        parts.append(text[:end])
        text = text[end:]
    return [*parts, text]


def _cut(text: str, limit: int) -> int:
    """Find where to cut: as late as there is room, but not before what belongs to the character in front of it."""
    latest = _room(text, limit)
    tried = range(latest, max(0, latest - limit // 2), -1)
    return next((end for end in tried if not _belongs_to_last(text, end)), latest)


def _room(text: str, limit: int) -> int:
    used = 0
    for position, character in enumerate(text):
        used += _width(character)
        if used > limit:
            return max(1, position)
    return len(text)


def _belongs_to_last(text: str, at: int) -> bool:
    return text[at] in _NO_LINE_STARTS_WITH or _width(text[at]) == 0 or text[at - 1] == "\u200d"


@lru_cache(maxsize=4096)
def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
