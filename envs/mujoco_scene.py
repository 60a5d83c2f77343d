"""Draws recorded states of a MuJoCo model: pictures through its own renderer, and pieces for a replay in a page."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from envs import gl, meshes
from envs.scene import Picture, Scene, Solid, Track
from envs.threads import SHARED

Colour = tuple[float, ...]
"""Red, green, blue and how dense it is, each in [0, 1]."""
Line = tuple[NDArray[np.float64], Colour]
"""Places ``[time, 3]`` (m)."""
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
GOAL_COLOUR = (0.15, 0.75, 0.35, 0.75)
TRAIL_COLOUR = (0.95, 0.65, 0.1, 0.9)
BESIDE_COLOUR = (0.6, 0.5, 0.95, 0.45)
"""Paths of other episodes."""
SHADES = 1.5
"""Factor by which a picture is drawn wider and higher, before it is averaged down: cheaper than the renderer's
multisampling. Without a graphics card the cost grows with the pixels: a factor of 2 costs half as much again and looks
hardly better."""
CORNERS = 60
"""Corners of the line along a path, about."""


@dataclass(frozen=True)
class View:
    """Position and direction of the camera.

    Attributes:
        look_at: the point in the middle of the picture (m); with `follow`, relative to the body.
        distance: from there (m).
        azimuth, elevation: degrees, as MuJoCo has them.
        follow: the camera goes along x and y with the body that leaves the trail.
    """

    look_at: tuple[float, float, float]
    distance: float
    azimuth: float
    elevation: float
    follow: bool = False


class MujocoScene(Scene):
    """One task of a model. Any thread may draw it.

    Args:
        model: with its looks; may be shared between scenes.
        arrays: what the task changes in the model, by name of the array.
        goal: in words.
        point: the goal as a place (m), if it is one.
        trail: number of the body whose path is drawn.
        view: the camera.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        arrays: Mapping[str, NDArray[np.float64]],
        goal: str,
        point: tuple[float, ...] | None,
        trail: int,
        view: View,
    ) -> None:
        self.goal, self._model, self._arrays = goal, model, arrays
        self._point, self._trail, self._view = point, trail, view
        self._data = mujoco.MjData(model)
        self._size = mujoco.mj_stateSize(model, STATE)
        self._paths: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}  # keeps its key's array alive

    def draw(self, track: Track, time: int, width: int, height: int) -> Picture:
        """See `Scene.draw`."""
        return gl.drawing(functools.partial(self._draw, track, time, width, height))

    def require_display(self) -> None:
        """See `Scene.require_display`."""
        gl.drawing(lambda: None)

    def solids(self) -> list[Solid]:
        """See `Scene.solids`."""
        return _solids(self._model)

    def poses(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        """See `Scene.poses`."""
        poses = np.empty((len(states), self._model.nbody, 7), np.float32)
        with SHARED:
            for i, state in enumerate(states):
                self._set(state)
                mujoco.mj_kinematics(self._model, self._data)
                poses[i, :, :3], poses[i, :, 3:] = self._data.xpos, self._data.xquat
        return poses

    def path(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        """See `Scene.path`: that of the trail's body."""
        return self.poses(states)[:, self._trail, :3]

    def marks(self) -> dict[str, Any]:
        """See `Scene.marks`."""
        view = self._view
        return {
            "goal": self._point and [float(x) for x in self._point],
            "trail": self._trail,
            "look_at": list(view.look_at),
            "distance": view.distance,
            "azimuth": view.azimuth,
            "elevation": view.elevation,
            "follow": view.follow,
        }

    def _draw(self, track: Track, time: int, width: int, height: int) -> Picture:
        with SHARED:
            path = self._path(track)[: time + 1]
            self._set(track.state[time])
            mujoco.mj_forward(self._model, self._data)
            lines: list[Line] = [(other.astype(np.float64), BESIDE_COLOUR) for other in track.beside]
            lines.append((path, (*_rgb(track.colour), TRAIL_COLOUR[3]) if track.colour else TRAIL_COLOUR))
            return _painter(self._model, width, height).paint(self._data, self._camera(path[-1]), self._point, lines)

    def _set(self, state: NDArray[np.float64]) -> None:
        for name, array in self._arrays.items():
            getattr(self._model, name)[:] = array
        mujoco.mj_setState(self._model, self._data, np.ascontiguousarray(state[: self._size]), STATE)

    def _path(self, track: Track) -> NDArray[np.float64]:
        """Places of the trail's body, ``[time + 1, 3]``."""
        key = id(track.state)
        if key not in self._paths:
            path = self.path(track.state[: track.length + 1]).astype(np.float64)
            self._paths[key] = (track.state, path)
        return self._paths[key][1]

    def _camera(self, place: NDArray[np.float64]) -> mujoco.MjvCamera:
        camera = mujoco.MjvCamera()
        camera.lookat[:] = self._view.look_at
        if self._view.follow:
            camera.lookat[:2] += place[:2]
        camera.distance, camera.azimuth = self._view.distance, self._view.azimuth
        camera.elevation = self._view.elevation
        return camera


class _Painter:
    """A model at one size of picture; for the thread that draws (`envs.gl.drawing`)."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        self._model, self._size = model, (width, height)
        self._rectangle = mujoco.MjrRect(0, 0, round(SHADES * width), round(SHADES * height))
        # Without a graphics card multisampling and shadows take ten times as long as all the rest.
        model.vis.quality.offsamples, model.vis.quality.shadowsize = 0, 0
        model.vis.global_.offwidth, model.vis.global_.offheight = self._rectangle.width, self._rectangle.height
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        self._scene, self._option = mujoco.MjvScene(model, maxgeom=3000), mujoco.MjvOption()
        self._option.sitegroup[:] = 0  # goals are drawn by `paint`
        for flag in ("SHADOW", "REFLECTION"):
            self._scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0

    def paint(
        self,
        data: mujoco.MjData,
        camera: mujoco.MjvCamera,
        point: tuple[float, ...] | None,
        lines: Sequence[Line],
    ) -> Picture:
        """The scene with lines along paths and the goal: a ball, and a ring that nothing hides."""
        scene = self._scene
        categories = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._option, None, camera, categories, scene)
        if point is not None:
            self._add(mujoco.mjtGeom.mjGEOM_SPHERE, np.full(3, 0.025), np.asarray(point), GOAL_COLOUR)
        for path, colour in lines:
            for start, end in itertools.pairwise(path[:: max(1, len(path) // CORNERS)]):
                if scene.ngeom == scene.maxgeom:
                    break
                geom = self._add(mujoco.mjtGeom.mjGEOM_LINE, np.zeros(3), np.zeros(3), colour)
                mujoco.mjv_connector(geom, mujoco.mjtGeom.mjGEOM_LINE, SHADES * 2.5, start, end)  # pixels
        height, width = self._rectangle.height, self._rectangle.width
        picture = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        mujoco.mjr_render(self._rectangle, scene, self._context)
        mujoco.mjr_readPixels(picture, None, self._rectangle, self._context)
        image = Image.fromarray(picture[::-1])
        if point is not None:
            self._ring(image, np.asarray(point))
        return np.asarray(image.resize(self._size, Image.Resampling.BOX))

    def _ring(self, image: Image.Image, point: NDArray[np.float64]) -> None:
        """A ring around the goal, over all that stands before it."""
        camera, (width, height) = self._scene.camera[0], image.size  # of the left eye; both are mono
        forward, up = np.array(camera.forward), np.array(camera.up)
        away = point - (np.array(self._scene.camera[0].pos) + np.array(self._scene.camera[1].pos)) / 2
        depth = float(away @ forward)
        if depth <= 0:
            return
        scale = height / (camera.frustum_top - camera.frustum_bottom) * camera.frustum_near / depth  # pixels per metre
        x, y = width / 2 + float(away @ np.cross(forward, up)) * scale, height / 2 - float(away @ up) * scale
        radius, pen = max(0.035 * scale, 5.0), ImageDraw.Draw(image)
        colour = tuple(round(255 * c) for c in GOAL_COLOUR[:3])
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], outline=colour, width=round(SHADES * 2))

    def _add(self, kind: Any, size: Any, place: Any, colour: Colour) -> Any:
        scene = self._scene
        geom = scene.geoms[scene.ngeom]
        mujoco.mjv_initGeom(geom, kind, size, place.astype(np.float64), np.eye(3).ravel(), np.array(colour, np.float32))
        scene.ngeom += 1
        return geom


def _rgb(colour: str) -> Colour:
    """The numbers of ``#rrggbb``."""
    return tuple(channel / 255 for channel in bytes.fromhex(colour[1:]))


@functools.lru_cache(maxsize=12)
def _painter(model: mujoco.MjModel, width: int, height: int) -> _Painter:
    return _Painter(model, width, height)


@functools.lru_cache(maxsize=60)
def _solids(model: mujoco.MjModel) -> list[Solid]:
    """What is seen of the model, coarse enough for a page; without planes."""
    solids = []
    for i in range(model.ngeom):
        colour = _colour(model, i)
        if model.geom_group[i] > 2 or colour[3] == 0 or model.geom_type[i] == mujoco.mjtGeom.mjGEOM_PLANE:
            continue
        vertices, faces = meshes.of_geom(model, i)
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, model.geom_quat[i])
        vertices = vertices @ rotation.reshape(3, 3).T + model.geom_pos[i]
        body = int(model.geom_bodyid[i])
        red, green, blue = (float(x) for x in colour[:3])
        fixed = bool(model.body_weldid[body] == 0)
        solids.append(Solid(body, vertices.astype(np.float32), faces.astype(np.uint16), (red, green, blue), fixed))
    return solids


def _colour(model: mujoco.MjModel, geom: int) -> NDArray[np.float64]:
    """Colour of a geom: its own, or its material's times the mean of the texture."""
    material = model.geom_matid[geom]
    if material < 0:
        return np.asarray(model.geom_rgba[geom], np.float64)
    colour = np.array(model.mat_rgba[material], np.float64)
    texture = model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB]
    if texture >= 0:
        channels, start = model.tex_nchannel[texture], model.tex_adr[texture]
        size = model.tex_height[texture] * model.tex_width[texture] * channels
        pixels = model.tex_data[start : start + size].reshape(-1, channels)
        colour[:3] *= pixels[:, :3].mean(0) / 255
    return colour
