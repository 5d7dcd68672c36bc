"""What a stranger's file must never bring about: Python's own audit events, listened to while it is read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

FORBIDDEN = (
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.Popen",
    "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.chmod", "os.putenv", "os.kill", "shutil.rmtree",
    "shutil.move", "shutil.copyfile", "socket.connect", "socket.getaddrinfo", "urllib.Request", "ctypes.dlopen",
    "pickle.find_class", "webbrowser.open", "code.__new__", "ftplib.connect", "smtplib.connect",
)  # fmt: skip

_heard: list[str] | None = None


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if _heard is not None and event in FORBIDDEN:
        _heard.append(f"{event}{arguments!r:.120}")


sys.addaudithook(_listen)  # none can ever be taken off again, so this one is deaf outside of `silence`


@contextmanager
def silence() -> Iterator[None]:
    """Nothing of FORBIDDEN happens inside the block."""
    global _heard
    _heard = []
    try:
        yield
        heard = _heard
    finally:
        _heard = None
    assert not heard, f"it ran: {heard}"
