"""Text of the user's own."""

from pathlib import Path

from spinodal.errors import InputError


def file_text(path: Path) -> str:
    """The file's text, its lines ended by \\n; InputError where it cannot be read or is not UTF-8."""
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text: byte {error.start} is {raw[error.start]:#04x}"
        ) from error
    if "\0" in text:
        raise InputError(f"{path} is not text: byte {raw.index(0)} is 0x00")
    return text.removeprefix("\ufeff").replace("\r\n", "\n")
