"""Moments in which the machine is whole: a virtual machine's processors move about on their host.

Two of them may share one core for seconds, or sit on two dies: the multiply-adds of both threads
then go at half the rate, or a cache line takes five times as long from one to the other, while
memory is twice as fast and there are two last caches. No peer can do anything about it, and medians
of a few rounds do not always see past it. Hence each timing, of whatever peer, waits until neither
is so, and is taken again when the moment ended before it did; not for ever: what never becomes
whole is measured as it is, and counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

RATE = 0.8  # of the best multiply-add rate: with less, two threads share a core
TRIP = 2.0  # times the usual round trip of a cache line: with more, they share no cache
PATIENCE = 1.0  # seconds that one timing waits at most
SHARE = 0.25  # of the time since the start that may go to waiting
FIRST = 40  # looks at the machine from which the usual is taken
PAUSE = 0.02  # seconds between looks
TRIES = 3  # how often one timing is taken at most

Probe = Callable[[], tuple[float, float]]
T = TypeVar("T")


def look() -> tuple[float, float]:
    """Multiply-adds of all threads, FLOP/s, and seconds of a cache line's round trip, both now."""
    from ranvier import _core

    return _core.measure_flops(1 << 18), _core.measure_handshake()


@dataclass
class Moments:
    """Waits for whole moments, and remembers how often there was none.

    Attributes:
        probe: looks at the machine.
        sleep: passes the time.
        clock: seconds.
        timings: how often something was to be measured in a whole moment.
        unsettled: how often none came in time, or none lasted.
        waited: seconds spent waiting, and on what was measured again.
        trip: seconds of a cache line's usual round trip; 0 with one thread.
    """

    probe: Probe = look
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.perf_counter
    timings: int = 0
    unsettled: int = 0
    waited: float = 0.0
    trip: float = 0.0
    rate: float = 0.0
    started: float = field(default=0.0, repr=False)

    def begin(self) -> None:
        """Learns what is usual here."""
        looks = []
        for _ in range(FIRST):
            looks.append(self.probe())
            self.sleep(PAUSE)
        self.rate = max(rate for rate, _ in looks)
        # The near ones' median: the lower quartile of what was seen while there were two cores.
        trips = sorted(trip for rate, trip in looks if rate >= RATE * self.rate)
        self.trip = statistics.median(trips[: (len(trips) + 1) // 2])
        self.started = self.clock()

    def wait(self) -> None:
        """Returns in a whole moment, or when waiting has taken its time."""
        self.timings += 1
        self.unsettled += not self._settle()

    def measure(self, timing: Callable[[], T]) -> T:
        """What `timing` returns, taken in a moment that was whole before and after it."""
        self.timings += 1
        for tries in range(1, TRIES + 1):
            settled = self._settle()
            start = self.clock()
            taken = timing()
            lasted = self.clock() - start
            if settled and self._whole():
                return taken
            if not settled or tries == TRIES or lasted > self._left():
                break
            self.waited += lasted
        self.unsettled += 1
        return taken

    def _settle(self) -> bool:
        """Waits for a whole moment while there is time for it; whether there was one."""
        if not self.rate:
            self.begin()
        start = self.clock()
        allowed = min(PATIENCE, self._left())
        settled = self._whole()
        while not settled and self.clock() - start < allowed:
            self.sleep(PAUSE)
            settled = self._whole()
        self.waited += self.clock() - start
        return settled

    def _left(self) -> float:
        """Seconds that may go to waiting from now on."""
        return SHARE * (self.clock() - self.started) + PATIENCE - self.waited

    def summary(self) -> dict[str, float]:
        """What a page says about it."""
        return {
            "timings": self.timings,
            "unsettled": self.unsettled,
            "waited_s": round(self.waited, 1),
            "trip_ns": round(1e9 * self.trip),
        }

    def _whole(self) -> bool:
        rate, trip = self.probe()
        self.rate = max(self.rate, rate)
        return rate >= RATE * self.rate and trip <= TRIP * self.trip
