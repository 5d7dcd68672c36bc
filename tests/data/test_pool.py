"""Work in order by processes: what they are to each other."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from ich.data.pool import ProcessDied, Processes, start_processes


@pytest.fixture(scope="module")
def two() -> Iterator[Processes]:
    with start_processes(2) as processes:
        yield processes


def late(number: int) -> tuple[int, int]:
    time.sleep(0.02 * (number % 3 == 0))
    return number, os.getpid()


def divide(number: int) -> int:
    return 12 // (3 - number)


def die(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_what_takes_longer_keeps_its_place(two: Processes) -> None:
    made = list(two.in_order(late, range(20)))
    assert [number for number, _ in made] == [*range(20)]
    by = {process for _, process in made}
    assert len(by) == 2
    assert os.getpid() not in by


def test_an_error_is_raised_in_its_turn_and_the_next_work_is_done(two: Processes) -> None:
    made = two.in_order(divide, range(9))
    assert [next(made), next(made), next(made)] == [4, 6, 12]
    with pytest.raises(ZeroDivisionError):
        next(made)
    assert list(two.in_order(divide, range(3))) == [4, 6, 12]


def test_what_is_given_is_asked_for_little_ahead(two: Processes) -> None:
    asked = []
    made = two.in_order(divide, (asked.append(number) or 1 for number in range(100)))
    next(made)
    assert len(asked) == 5


def test_a_process_that_is_killed_is_one_message() -> None:
    with start_processes(2) as processes, pytest.raises(ProcessDied, match="for lack of memory; start again"):
        list(processes.in_order(die, range(20)))
