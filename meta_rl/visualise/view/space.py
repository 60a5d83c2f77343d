"""Robots in three dimensions and points in the plane: bodies, paths and the goal as things of the browser's own scene.

All of it is lines and triangles, sharp at any size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Scene, Solid, Track
from meta_rl.evaluation.live import Live
from meta_rl.visualise.side_by_side import AFTER, BEFORE, PRACTICE
from meta_rl.visualise.view.drawing import GOAL, Drawing, Rgb, rgb, segments

GHOST, FAINT = (140, 160, 205), (203, 186, 246)
FLAT = {"before": 0.004, "after": 0.008, "practice": 0.002}
"""Heights of what is drawn in the plane (m), so that one covers the other."""


class InSpace(Drawing):
    """A scene with paths.

    Args:
        dropped: takes the place to which the goal was dragged.
    """

    def __init__(self, client: Any, live: Live, dropped: Callable[[Sequence[float]], None]) -> None:
        super().__init__(client, live)
        self._dropped, self._shown, self._drawn = dropped, "", 0
        self._moving: dict[str, list[tuple[int, Any]]] = {}  # side -> (body, its frame in the scene)
        self._poses: dict[str, NDArray[np.float32]] = {}
        self._paths: dict[str, NDArray[np.float32]] = {}
        self._control: Any = None
        self._trails: dict[str, Any] = {}  # side -> its path in the scene

    def begin(self) -> None:
        """See `Drawing.begin`."""
        scene = self.live.scene
        solids, marks, sides, place = scene.solids(), scene.marks(), self.sides(), self.client.scene
        with self.client.atomic():
            if self._shown != self.live.task.family:
                self._set_up(scene, solids, marks)
            self._poses = {side: scene.poses(track.state[: track.length + 1]) for side, track in sides}
            self._paths = {side: scene.path(track.state[: track.length + 1]) for side, track in sides}
            place.remove_by_name("/practice")
            self._drawn = 0
            first = next(iter(self._poses.values()))[0]
            for number, solid in enumerate(solids):
                if solid.fixed:
                    self._mesh(f"/fixed/{number}", solid, solid.colour, None, first[solid.body])
            for _, frame in self._moving.get("ghost", []):
                frame.visible = "after" in self._poses
            for side, colour in (("before", BEFORE), ("after", AFTER)):
                place.remove_by_name(f"/trail/{side}")
                place.remove_by_name(f"/point/{side}")
                if side in self._paths:
                    self._trails[side] = self._lines(f"/trail/{side}", self._paths[side], rgb(colour), 3.0)
            self._goal(marks)
            self.at(0)

    def at(self, time: int) -> None:
        """See `Drawing.at`."""
        alone = "after" not in self._poses
        for side, poses in self._poses.items():
            bodies = "after" if side == "after" or alone else "ghost"
            self._move(bodies, poses[min(time, len(poses) - 1)])
        for side, path in self._paths.items():
            self._trails[side].visible = True
            self._point(side, path[min(time, len(path) - 1)])

    def practising(self, step: int, episode: int, share: float, learned: bool) -> None:
        """See `Drawing.practising`."""
        track = self.practice.track(0, step, episode)
        time = round(share * track.length)
        path = self.practice.path(self.live.scene, 0, step, episode)
        passed = max(2, round(share * (len(path) - 1)) + 1)
        while self._drawn < episode:  # also those that were too short to be seen
            earlier = self.practice.path(self.live.scene, 0, step, self._drawn)
            self._lines(f"/practice/{self._drawn}", earlier, FAINT, 1.5)
            self._drawn += 1
        now = FAINT if learned else rgb(PRACTICE)
        self._lines(f"/practice/{episode}", path if learned else path[:passed], now, 1.5)
        self._trails["after"].visible = False  # it is not known yet
        if "after" in self._moving:
            self._move("after", self.live.scene.poses(track.state[time : time + 1])[0])
        self._point("after", path[passed - 1])

    def goal_at(self, place: tuple[float, ...]) -> None:
        """See `Drawing.goal_at`."""
        if self._control is not None:
            self._control.position = self._raised(place)

    def _set_up(self, scene: Scene, solids: list[Solid], marks: dict[str, Any]) -> None:
        """The camera, the floor and the bodies that move, of another family."""
        place, self._control = self.client.scene, None
        place.reset()
        self._moving = {}
        if not solids:
            extent = marks["extent"]
            place.set_up_direction("+z")
            place.add_grid("/floor", 2 * extent, 2 * extent, plane="xy", cell_size=extent / 4, section_size=extent / 4)
            # From above, and a little from below the square, so that x is to the right and y upwards.
            self._look((0.0, -0.01 * extent, 2.4 * extent), (0.0, 0.0, 0.0))
        else:
            place.set_up_direction("+z")
            first = scene.poses(self.live.track(0).state[:1])[0]
            # Meta-World's table stands below 0; robots run at 0.
            low = min([0.0, *(float(first[s.body, 2] + s.vertices[:, 2].min()) for s in solids if s.fixed)])
            place.add_grid("/floor", plane="xy", infinite_grid=True, fade_distance=12.0, position=(0, 0, low))
            around, up = np.radians(marks["azimuth"]), np.radians(marks["elevation"])
            forward = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
            at = np.asarray(marks["look_at"])
            self._look(tuple(at - marks["distance"] * forward), tuple(at))
            self._moving = {side: self._bodies(side, solids) for side in ("ghost", "after")}
        self._shown, self.ghost = self.live.task.family, bool(solids)

    def _look(self, position: tuple[float, ...], at: tuple[float, ...]) -> None:
        self.client.camera.position, self.client.camera.look_at = position, at

    def _goal(self, marks: dict[str, Any]) -> None:
        goal = marks.get("goal")
        if goal is None:
            return
        radius = 0.15 if marks.get("follow") else 0.025
        place, at = self.client.scene, self._raised(goal)
        if not self.live.movable():
            place.add_icosphere("/goal", radius, GOAL, position=at)
            return
        if self._control is None:
            flat = len(goal) == 2 or bool(marks.get("follow"))
            self._control = place.add_transform_controls(
                "/goal", 6 * radius, active_axes=(True, True, not flat), disable_rotations=True, depth_test=False
            )
            self._control.on_drag_end(lambda _: self._dropped(tuple(float(x) for x in self._control.position)))
            place.add_icosphere("/goal/ball", radius, GOAL)
        self._control.position = at

    def _raised(self, place: Sequence[float]) -> tuple[float, ...]:
        return (*place, 0.0) if len(place) == 2 else tuple(place)

    def _lines(self, name: str, path: NDArray[Any], colour: Rgb, pixels: float) -> Any:
        pieces = segments(path, FLAT[name.split("/")[-1] if name.startswith("/trail") else "practice"])
        if not len(pieces):  # the episode ended where it began
            pieces = segments(np.repeat(path[:1], 2, 0))
        place = self.client.scene
        return place.add_line_segments(name, pieces, colour, thickness=pixels, thickness_units="screen")

    def _point(self, side: str, place: NDArray[Any]) -> None:
        """What moves in the plane, or nothing where bodies do."""
        if self._moving:
            return
        at = (*(float(x) for x in place[:2]), 0.012)
        self.client.scene.add_icosphere(f"/point/{side}", 0.016, rgb(AFTER if side == "after" else BEFORE), position=at)

    def _bodies(self, side: str, solids: list[Solid]) -> list[tuple[int, Any]]:
        """A frame for each body that moves, with its pieces."""
        frames: dict[int, Any] = {}
        ghost = side == "ghost"
        for number, solid in enumerate(solids):
            if solid.fixed:
                continue
            if solid.body not in frames:
                frames[solid.body] = self.client.scene.add_frame(
                    f"/{side}/{solid.body}", show_axes=False, visible=not ghost
                )
            colour = tuple(c / 255 for c in GHOST) if ghost else solid.colour
            self._mesh(f"/{side}/{solid.body}/{number}", solid, colour, 0.35 if ghost else None, None)
        return list(frames.items())

    def _mesh(
        self, name: str, solid: Solid, colour: tuple[float, ...], opacity: float | None, pose: NDArray[Any] | None
    ) -> None:
        where = {} if pose is None else {"position": pose[:3], "wxyz": pose[3:]}
        self.client.scene.add_mesh_simple(
            name,
            solid.vertices,
            solid.faces.astype(np.uint32),
            color=tuple(round(255 * c) for c in colour),
            opacity=opacity,
            side="double",
            flat_shading=True,
            **where,
        )

    def _move(self, side: str, moment: NDArray[Any]) -> None:
        for body, frame in self._moving.get(side, []):
            frame.position, frame.wxyz = moment[body, :3], moment[body, 3:]


def has_paths(scene: Scene, track: Track) -> bool:
    """Whether `InSpace` can draw it."""
    return bool(scene.path(track.state[:1]).shape[1])
