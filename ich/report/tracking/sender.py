"""Metrics sent from a thread of their own, and an end that no signal disturbs."""

import logging
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from ich.report.tracking.store import TrackingFailed, shown_uri

if TYPE_CHECKING:
    import mlflow

METRICS_A_BATCH = 1000
"""MLflow's limit (mlflow/utils/validation.py)."""

log = logging.getLogger(__name__)


class Sender:
    """Sends rows in their order by `send`, which may take long or raise TrackingFailed; `add` never waits.

    What could not be sent is sent again with the next rows, timestamps and all, so that MLflow keeps a row once that it
    had got in spite of the failure.
    """

    def __init__(self, send: Callable[[Sequence["mlflow.entities.Metric"]], None]) -> None:
        self._send = send
        self._unsent: list[mlflow.entities.Metric] = []  # callers append, the thread removes
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._ended = False
        self._warned = False
        # A daemon: no Ctrl-C, wherever it strikes, can leave a thread that the interpreter waits for.
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def add(self, rows: Sequence["mlflow.entities.Metric"]) -> None:
        self._unsent.extend(rows)
        self._wake.put(None)

    @property
    def unsent(self) -> list["mlflow.entities.Metric"]:
        """What is not known to have arrived."""
        return [*self._unsent]

    def end(self) -> None:
        """Wait for the thread and send what is left. Raises TrackingFailed."""
        self._ended = True
        self._wake.put(None)
        self._thread.join()
        self._send_all()

    def _work(self) -> None:
        while True:
            self._wake.get()
            if self._ended:
                return
            try:
                self._send_all()
            except TrackingFailed as failure:
                if not self._warned:
                    log.warning("metrics wait until they can be sent: %s", failure)
                self._warned = True

    def _send_all(self) -> None:
        while batch := self._unsent[:METRICS_A_BATCH]:
            self._send(batch)
            del self._unsent[: len(batch)]


@contextmanager
def signals_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM that come in the block are delivered after it."""
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread alone
        yield
        return
    held: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        held.append(number)

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def within(seconds: float, work: Callable[[], None]) -> None:
    """Do the work, and raise what it raises; after `seconds` leave it to itself and raise TrackingFailed."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="tracking-end", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TrackingFailed(f"{shown_uri()}: no answer for {seconds} seconds")
    if errors:
        raise errors[0]
