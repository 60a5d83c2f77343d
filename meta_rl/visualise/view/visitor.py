"""One browser that looks: its task, its stages and its time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from meta_rl.errors import ConfigError
from meta_rl.evaluation.live import Live, NotWanted
from meta_rl.visualise.view.clock import Clock, Instant
from meta_rl.visualise.view.controls import SPEEDS, TIME_PLACES, Controls
from meta_rl.visualise.view.drawing import Drawing
from meta_rl.visualise.view.pictures import Pictures
from meta_rl.visualise.view.space import InSpace, has_paths
from meta_rl.visualise.view.wishes import Wishes

Opened = Callable[[Callable[[], bool], Callable[[str], None]], Live]
"""Makes a `Live` of the two callables that it takes: ``wanted`` and ``told``."""


class Visitor:
    """Controls call back in threads of their own, episodes are played in another one, and the server's loop moves what
    is seen. What they share is held by one lock; nothing is played under it.

    Args:
        client: of viser.
        opened: gives the tasks of an agent, whose numbers are played here alone.
    """

    def __init__(self, client: Any, opened: Opened, title: str) -> None:
        self.client, self._lock = client, threading.RLock()
        self._clock, self._ready = Clock(), False
        self._drawing: Drawing | None = None
        self._wishes = Wishes(self._failed)
        self.live = opened(self._wishes.fresh, self._say)
        self.controls = c = Controls(client.gui, self.live, title)
        self._wishes.choose(self._chosen)
        c.family.on_update(lambda _: self._choose_family())
        c.number.on_update(lambda _: self._wishes.choose(self._chosen))
        c.again.on_click(lambda _: self._wishes.choose(self._chosen))
        c.adapt.on_click(lambda _: self._wishes.step(self._adapt))
        c.play.on_click(lambda _: self._pause())
        c.time.on_update(self._seek)
        c.speed.on_update(lambda _: self._at_speed())
        c.theme.on_update(lambda _: c.dark(c.theme.value))

    def leave(self) -> None:
        """Stop playing for a browser that is gone."""
        self._wishes.end()
        with self._lock:
            self._ready = False

    def tick(self, now: float) -> None:
        """Move everything to where it is `now`, in seconds of a monotonic clock."""
        with self._lock:
            seen = self._clock.tick(now)
            if not self._ready or self._drawing is None:
                return
            with self.client.atomic():
                self._drawing.draw(seen)
                self._tell(seen)

    def _tell(self, seen: Instant) -> None:
        """The line that says what is seen, and the place of time."""
        live = self.live
        if seen.episode is None:
            words = live.names.name(live.steps)
            self.controls.say(f"{words}, {live.names.learned(live.steps)}" if live.steps else f"{words}: press Adapt")
        else:
            said = live.names.learned(live.steps) if seen.learned else live.names.practising(seen.episode + 1)
            self.controls.say(said)
        place = round(TIME_PLACES * seen.share) if seen.episode is None else 0
        if self._clock.playing and self.controls.time.value != place:
            self.controls.time.value = place

    def _choose_family(self) -> None:
        with self._lock:
            self.controls.begin_family()
        self._wishes.choose(self._chosen)

    def _chosen(self, place: Sequence[float] | None = None) -> None:
        """Play the task that is chosen now, perhaps with its goal elsewhere."""
        family, number = self.controls.chosen()
        self._play(lambda: self.live.choose(family, number, place), f"playing {family}, task {number}")

    def _dropped(self, place: Sequence[float]) -> None:
        self._wishes.choose(lambda: self._chosen(place))

    def _adapt(self) -> None:
        self._play(self.live.adapt, "practising", practice=True)

    def _play(self, play: Callable[[], None], words: str, practice: bool = False) -> None:
        """Change what is shown; the newest choice alone gets so far."""
        with self._lock:
            self._ready = False
            self.controls.busy(True)
            self.controls.say(words)
        try:
            play()
        except NotWanted:
            return
        except ConfigError as error:
            with self._lock:
                self._put_back(str(error))
            return
        with self._lock, self.client.atomic():
            if not self._wishes.fresh():
                return
            self._drawing = self._drawn()
            self._drawing.begin()
            episodes = self._drawing.practice.episodes if practice else 0
            self._clock.restart(episodes)
            self.controls.busy(False)
            self.controls.show(self._drawing.ghost)
            self._ready = True

    def _put_back(self, words: str) -> None:
        """Go on with the task as it was, after a goal that cannot be there."""
        if self._drawing is not None:
            self._drawing.goal_at(tuple(self.live.scene.marks().get("goal") or ()))
        self.controls.busy(False)
        self.controls.say(words)
        self._ready = self._drawing is not None

    def _drawn(self) -> Drawing:
        """What draws the chosen task: the one of before, if it can."""
        kind = InSpace if has_paths(self.live.scene, self.live.track(0)) else Pictures
        if isinstance(self._drawing, kind):
            return self._drawing
        return InSpace(self.client, self.live, self._dropped) if kind is InSpace else Pictures(self.client, self.live)

    def _pause(self) -> None:
        with self._lock:
            self._clock.playing = not self._clock.playing
            self.controls.playing(self._clock.playing)

    def _seek(self, event: Any) -> None:
        """Only what the visitor moves counts; time moves the slider too, of which no browser tells."""
        if getattr(event, "client", None) is None:
            return
        with self._lock:
            self._clock.seek(self.controls.time.value / TIME_PLACES)
            self.controls.playing(False)

    def _at_speed(self) -> None:
        with self._lock:
            self._clock.speed = SPEEDS[self.controls.speed.value]

    def _say(self, words: str) -> None:
        with self._lock:
            self.controls.say(words)

    def _failed(self, words: str) -> None:
        with self._lock:
            self.controls.busy(False)
            self.controls.say(words)
