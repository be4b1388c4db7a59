"""Convert paths to text and back, and compile path patterns."""

import errno
import os
import re
from pathlib import Path

from imagebind.io.store_path import StorePath, as_path

MAX_PATTERN_CHARACTERS = 4096  # PATH_MAX of Linux
MAX_PATTERN_WILDCARDS = 64  # each costs a step per character of every path


def path_text(path: str | os.PathLike[str]) -> str:
    """Return a path as text; bytes that are not UTF-8 are written `\\xff`."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def path_exists(path: Path) -> bool:
    """Whether a path exists. A path that cannot be examined, such as without permission, counts as existing.

    An item of a table or an archive, `shard.tar/dog.jpg`, exists if `shard.tar` does. A name that is too long
    for its file system does not exist.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            return True
        return any(map(os.path.isfile, path.parents))
    except ValueError:  # a name that no file can have
        return True
    return True


def text_path(text: str) -> Path:
    """Return the path of a text from `path_text`. A literal `\\xff` is kept if that path exists."""
    path = as_path(text)
    if "\\x" not in text or isinstance(path, StorePath) or path_exists(path):
        return path
    parts = text.split("\\x")
    written = parts[0].encode()
    for part in parts[1:]:
        try:
            written += bytes([int(part[:2], 16)]) + part[2:].encode()
        except ValueError:
            return path
    return Path(os.fsdecode(written))


def glob_pattern(glob: str) -> str:
    """Convert a path pattern to a regular expression, in syntax that Python and Rust share.

    Repeated `**/` become one, so that `**/**/**/` costs no more than `**/`; three or more `*` become `**`.

    Raises:
        ValueError: too many characters or wildcards.
    """
    if len(glob) > MAX_PATTERN_CHARACTERS:
        raise ValueError(
            f"the pattern: expected at most {MAX_PATTERN_CHARACTERS} characters, got {len(glob)}"
        )
    glob = re.sub(r"(\*\*/)+", "**/", re.sub(r"\*{3,}", "**", glob))
    parts = re.split(r"(\*\*/?|\*|\?)", glob)
    wildcards = len(parts) // 2
    if wildcards > MAX_PATTERN_WILDCARDS:
        raise ValueError(f"the pattern: expected at most {MAX_PATTERN_WILDCARDS} wildcards, got {wildcards}")
    wild = {"**/": "(.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    body = "".join(wild[part] if part in wild else re.escape(part) for part in parts)
    start = "^" if glob.startswith(("/", "**")) else "^(.*/)?"
    return f"(?s){start}{body}$"
