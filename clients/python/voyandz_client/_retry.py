"""How long to wait before the next try."""

from __future__ import annotations

import random

FIRST = 0.25
# A server that is away costs a try next to nothing, and is to be found soon after its return.
LONGEST_AWAY = 0.5
# One that answers, and refuses for now, has something to do for each try.
LONGEST_REFUSED = 4.0
# Statuses after which trying again is of no use: a wrong parameter, a login, no such format.
FINAL = (400, 401, 403, 415)


class Pauses:
    """The pauses between tries, each longer than the one before, until one succeeds."""

    def __init__(self) -> None:
        self._next = FIRST

    def succeeded(self) -> None:
        """The next pause is the first."""
        self._next = FIRST

    def after(self, *, refused: bool) -> float:
        """Seconds to wait after a failure: the server has `refused`, or there was none."""
        pause = min(self._next, LONGEST_REFUSED if refused else LONGEST_AWAY)
        self._next = 2 * pause
        # Many clients of a server that returns do not come at the same moment.
        return pause * random.uniform(0.5, 1.0)
