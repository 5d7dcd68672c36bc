"""The one base of everything that ich refuses."""


class InputError(Exception):
    """Something from outside is unusable: a file, a table, a key.

    The message says where, what, and the way out; every door prints it alone, without a traceback, and exits with 1.
    Each room has its own kind.
    """
