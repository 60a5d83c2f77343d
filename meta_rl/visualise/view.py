"""``meta-rl view``: a page on this machine, by viser (extra ``viewer``), on which a policy adapts while one looks.

The browser draws: the server needs no OpenGL. Robots move in three dimensions, before adaptation as a ghost; plane
scenes are pictures.
"""

from __future__ import annotations

import contextlib
import io
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from meta_rl.errors import Say
from meta_rl.evaluation.playing import Live
from meta_rl.extras import require
from meta_rl.visualise import side_by_side

GHOST, BEFORE, AFTER = (140, 160, 205), (107, 126, 166), (232, 89, 12)
SECONDS = 6.0
"""Duration of an episode on the page, in seconds, whatever its number of env steps."""
PICTURES_PER_SECOND = 20
PLANE_PICTURES_PER_SECOND = 8
"""Pictures per second of plane scenes: fewer, because the browser loads each as a whole image."""
PAUSE = 1.0
"""Seconds for which the end of an episode stays."""
SIDE = 440
"""Width of one side of a plane scene, in pixels."""


def viser_server(port: int) -> Any:
    """A server on this machine that shows an empty scene; 0 is any free port.

    Raises:
        ConfigError: viser is missing.
    """
    viser = require("viser", "viser", "viewer", "view")
    with contextlib.redirect_stdout(io.StringIO()):  # it says where it is in a box of its own
        return viser.ViserServer("127.0.0.1", port, label="meta-rl", verbose=False)


def serve(server: Any, live: Live, title: str, say: Say = print) -> None:
    """Show the page until Ctrl-C, or a polite request to end (SIGTERM)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        page = Page(server, live, title)
        say(f"view: http://127.0.0.1:{server.get_port()} (Ctrl-C ends it)")
        page.play_forever()
    except KeyboardInterrupt:
        say("view: ended")


class Page:
    """The controls, and the loop that moves what is seen.

    Controls call back in threads of their own; what they and the loop share is held by one lock.
    """

    def __init__(self, server: Any, live: Live, title: str) -> None:
        self.server, self._lock, self._live = server, threading.RLock(), live
        server.gui.configure_theme(control_layout="fixed", show_logo=False, show_share_button=False, brand_color=AFTER)
        server.scene.set_up_direction("+z")
        self._family_shown, self._pictured = "", 0.0
        self._moving: dict[str, list[tuple[int, Any]]] = {}  # side -> (body, its frame in the scene)
        self._poses: dict[str, np.ndarray] = {}
        self._build(title)
        self._show()

    def _build(self, title: str) -> None:
        gui, families = self.server.gui, list(self._live.families)
        gui.add_markdown(title)
        self._family = gui.add_dropdown("Family", families, initial_value=families[0])
        self._number = gui.add_slider("Goal", 0, max(1, self._count() - 1), 1, 0, disabled=self._count() < 2)
        self._goal = gui.add_markdown("")
        self._adapt = gui.add_button("Adapt", color=AFTER)
        self._result = gui.add_markdown("")
        self._family.on_update(lambda _: self._choose_family())
        self._number.on_update(lambda _: self._choose())
        self._adapt.on_click(lambda _: self._do(self._live.adapt))

    def _count(self) -> int:
        return len(self._live.families[self._family.value])

    def _choose_family(self) -> None:
        with self._lock:
            self._number.max, self._number.disabled = max(1, self._count() - 1), self._count() < 2
            self._number.value = 0
            self._choose()

    def _choose(self) -> None:
        family, number = self._family.value, min(int(self._number.value), self._count() - 1)
        self._do(lambda: self._live.choose(family, number))

    def _do(self, change: Callable[[], None]) -> None:
        """Change what is played, and show it from its beginning."""
        self._adapt.disabled, self._adapt.label = True, "Playing ..."
        with self._lock:
            change()
            self._show()
        self._adapt.disabled, self._adapt.label = False, "Adapt"

    def _show(self) -> None:
        """Everything that depends on the task or on the steps so far."""
        live = self._live
        self._goal.content = live.scene.goal
        has_success = live.recording.about["has_success"]
        lines = ["| | return | success |", "|---|---|---|"] if has_success else ["| | return |", "|---|---|"]
        for stage in dict.fromkeys((0, live.steps)):
            value, solved = live.score(stage)
            met = f" {'yes' if solved else 'no'} |" if has_success else ""
            lines.append(f"| {live.recording.stage_name(stage)} | {value:.2f} |{met}")
        self._result.content = "\n".join(lines)
        self._time, self._began = -1, time.monotonic()
        solids = live.scene.solids()
        if solids:
            self._place(solids)

    def _place(self, solids: list[Any]) -> None:
        """The bodies of the task, unless they stand there already, and the poses of both sides."""
        live, scene = self._live, self.server.scene
        sides = {"before": 0, "after": live.steps} if live.steps else {"after": 0}
        self._poses = {side: live.scene.poses(live.track(stage).state) for side, stage in sides.items()}
        marks, first = live.scene.marks(), self._poses["after"][0]
        with self.server.atomic():
            if self._family_shown != live.task.family:
                scene.reset()
                scene.set_up_direction("+z")
                # Meta-World's table stands below 0; robots run at 0.
                low = min([0.0, *(first[s.body, 2] + s.vertices[:, 2].min() for s in solids if s.fixed)])
                scene.add_grid("/floor", plane="xy", infinite_grid=True, fade_distance=12.0, position=(0, 0, low))
                self._camera(marks)
                self._moving = {side: self._bodies(side, solids) for side in ("before", "after")}
                self._family_shown = live.task.family
            for number, solid in enumerate(solids):
                if solid.fixed:
                    self._mesh(f"/fixed/{number}", solid, solid.colour, None, first[solid.body])
            for _, frame in self._moving["before"]:
                frame.visible = "before" in sides
            if marks["goal"]:
                radius = 0.15 if marks["follow"] else 0.025
                scene.add_icosphere("/goal", radius, (40, 190, 100), position=tuple(marks["goal"]))
            for side, colour in (("before", BEFORE), ("after", AFTER)):
                path = self._poses.get(side, self._poses["after"][:1])[:, marks["trail"], :3]
                scene.add_point_cloud(f"/trail/{side}", path, colour, point_size=0.006, point_shape="circle")
            self._move(0)

    def _camera(self, marks: dict[str, Any]) -> None:
        around, up = np.radians(marks["azimuth"]), np.radians(marks["elevation"])
        forward = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
        position = np.asarray(marks["look_at"]) - marks["distance"] * forward
        self.server.initial_camera.look_at, self.server.initial_camera.position = (
            tuple(marks["look_at"]),
            tuple(position),
        )
        for client in self.server.get_clients().values():
            client.camera.look_at, client.camera.position = tuple(marks["look_at"]), tuple(position)

    def _bodies(self, side: str, solids: list[Any]) -> list[tuple[int, Any]]:
        """A frame for each body that moves, with its pieces."""
        frames = {}
        for number, solid in enumerate(solids):
            if solid.fixed:
                continue
            if solid.body not in frames:
                frames[solid.body] = self.server.scene.add_frame(f"/{side}/{solid.body}", show_axes=False)
            colour = tuple(c / 255 for c in GHOST) if side == "before" else solid.colour
            self._mesh(f"/{side}/{solid.body}/{number}", solid, colour, 0.35 if side == "before" else None, None)
        return list(frames.items())

    def _mesh(self, name: str, solid: Any, colour: Any, opacity: float | None, pose: np.ndarray | None) -> None:
        rgb = tuple(round(255 * c) for c in colour)
        faces = solid.faces.astype(np.uint32)
        where = {} if pose is None else {"position": pose[:3], "wxyz": pose[3:]}
        self.server.scene.add_mesh_simple(
            name, solid.vertices, faces, color=rgb, opacity=opacity, side="double", flat_shading=True, **where
        )

    def play_forever(self) -> None:
        """Show episode after episode, until an exception."""
        while True:
            self.tick()
            time.sleep(1 / PICTURES_PER_SECOND)

    def tick(self) -> None:
        """Move everything to where it is now."""
        with self._lock:
            live = self._live
            tracks = [live.track(stage) for stage in dict.fromkeys((0, live.steps))]
            longest = max(track.length for track in tracks)
            passed = time.monotonic() - self._began
            if passed > SECONDS + PAUSE:
                self._began = time.monotonic()
            now = min(longest, int(longest * passed / SECONDS))
            if now == self._time:
                return
            if live.scene.solids():
                self._time = now
                with self.server.atomic():
                    self._move(now)
                return
            if time.monotonic() - self._pictured < 1 / PLANE_PICTURES_PER_SECOND and now < longest:
                return
            self._time, self._pictured = now, time.monotonic()
            picture = side_by_side.Pair(live.recording, 0, live.scene, SIDE).at(now)
            self.server.scene.set_background_image(_square(picture), format="png")

    def _move(self, now: int) -> None:
        for side, poses in self._poses.items():
            moment = poses[min(now, len(poses) - 1)]
            for body, frame in self._moving[side]:
                frame.position, frame.wxyz = moment[body, :3], moment[body, 3:]


def _square(picture: np.ndarray) -> np.ndarray:
    """The picture in the middle of a white square."""
    height, width = picture.shape[:2]
    side = max(height, width)
    above, left = (side - height) // 2, (side - width) // 2
    edges = [(above, side - height - above), (left, side - width - left), (0, 0)]
    return np.pad(picture, edges, constant_values=255)
