"""What a visitor wants next: only the newest choice counts, and what is being played for an older one ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

DEBOUNCE = 0.2
"""Seconds for which a choice must stand before it is played: a slider passes many on its way."""


class Wishes:
    """Wishes come from any thread; one thread, its own, fulfils them one after another.

    Args:
        failed: takes what went wrong, in words.
    """

    def __init__(self, failed: Callable[[str], None], debounce: float = DEBOUNCE) -> None:
        self._failed, self._debounce = failed, debounce
        self._changed = threading.Condition()
        self._choice: Callable[[], None] | None = None
        self._step: Callable[[], None] | None = None
        self._over = self._news = False
        self._thread = threading.Thread(target=self._fulfil, daemon=True)
        self._thread.start()

    def choose(self, play: Callable[[], None]) -> None:
        """Want another task: older choices, and steps on them, are dropped."""
        with self._changed:
            self._choice, self._step, self._news = play, None, True
            self._changed.notify_all()

    def step(self, play: Callable[[], None]) -> None:
        """Want one more step on the newest choice; a step that waits already is that step."""
        with self._changed:
            self._step = play
            self._changed.notify_all()

    def fresh(self) -> bool:
        """Whether what is being played is still wanted: nothing else was chosen."""
        return self._choice is None and not self._over

    def end(self) -> None:
        """Want nothing any more."""
        with self._changed:
            self._over = self._news = True
            self._changed.notify_all()

    def _fulfil(self) -> None:
        while (play := self._next()) is not None:
            try:
                play()
            except Exception as error:  # it must not end silently, nor end the thread
                self._failed(f"{type(error).__name__}: {error}")

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._choice or self._step or self._over))
            while self._choice is not None and not self._over:
                newest, self._news = self._choice, False
                if not self._changed.wait_for(lambda: self._news, self._debounce):
                    self._choice = None
                    return newest
            play, self._step = self._step, None
            return None if self._over else play
