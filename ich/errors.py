"""The one base of everything that ich refuses."""

PRIVATE = "its words may name a patient or a file: they stood on the screen alone (pseudonymize)"


class InputError(Exception):
    """Something from outside is unusable: a file, a table, a key.

    The message says where, what, and the way out; every door prints it alone, without a traceback, and exits with 1.
    Each room has its own kind.
    """


def keep_private(error: BaseException) -> None:
    """From here on the words of an error are for the screen alone."""
    error.private = True  # type: ignore[attr-defined]


def recorded(error: BaseException) -> str:
    """What a record may keep of an error: its kind, and its words unless they are private."""
    return f"{type(error).__name__}: {PRIVATE if getattr(error, 'private', False) else error}"
