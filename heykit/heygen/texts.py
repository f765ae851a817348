"""What people write: trimmed, not empty, not too long, and text that every database takes."""

from __future__ import annotations

from heykit.heygen.errors import Invalid

__all__ = ["checked_line", "checked_text"]


def checked_line(field: str, value: str, longest: int) -> str:
    """Give a text as `checked_text` does, of one line that any file and any terminal shows as it is."""
    line = checked_text(field, value, longest)
    if not line.isprintable():
        raise Invalid(field, "one line, without control characters")
    return line


def checked_text(field: str, value: str, longest: int) -> str:
    """Give a text of 1 to `longest` characters without the spaces round it; Invalid names the field of any other."""
    text = value.strip()
    if not 1 <= len(text) <= longest:
        raise Invalid(field, f"1 to {longest:,} characters, without the spaces round them; these are {len(text):,}")
    # PostgreSQL stores neither; a lone surrogate comes from JSON such as "\ud800".
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid(field, "it holds a character that no text has, NUL or half of a surrogate pair")
    return text
