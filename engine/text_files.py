"""Text files as people have them: any line ends, and the encodings of common editors."""

from __future__ import annotations

from pathlib import Path

from .errors import InputError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def numbered_lines(path: Path, *, wanted: str, layout: str = "") -> list[tuple[int, str]]:
    """Return the lines that are not blank, with their numbers from 1.

    UTF-8 and UTF-16 (which some editors call Unicode) with or without a mark at the beginning of
    the former, else Latin-1.

    Parameters
    ----------
    wanted
        What to give the path of, for the error where there is no such file.
    layout
        What such a file looks like, for the error where it is no text.

    Raises
    ------
    InputError
        It is absent, cannot be read, or is no text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the path of {wanted}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name a file") from None
    advice = f"this is no plain text; {layout or f'give {wanted}'}"
    return [
        (i, line)
        for i, line in enumerate(_decoded(path, data, advice).splitlines(), 1)
        if line.strip("\x1a \t\f\v")  # 1a: the end of file of old DOS programs
    ]


def _decoded(path: Path, data: bytes, advice: str) -> str:
    try:
        if data.startswith(_UTF16):
            return data.decode("utf-16")
        if b"\0" in data:
            raise InputError(f"{path}: {advice}")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in data:
            raise InputError(f"{path}: {advice}") from None
        return data.decode("latin-1")  # degree signs of older editors stand in comments only
