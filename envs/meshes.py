"""MuJoCo geoms as few triangles: primitives tessellated, meshes with vertices that lie close together merged."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

Double = NDArray[np.float64]
Mesh = tuple[Double, NDArray[np.int64]]
"""Vertices ``[vertex, 3]``, faces ``[face, 3]``."""

CELLS = 12
"""Vertices that a mesh keeps along its longest side, about."""
SEGMENTS = 12
"""Segments around anything that is round."""


def of_geom(model: mujoco.MjModel, geom: int) -> Mesh:
    """A geom of any kind but a plane or a height field, in its own frame."""
    kind, size = model.geom_type[geom], model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        first, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
        vertices = model.mesh_vert[start : start + count].astype(np.float64)
        return coarsen(vertices, model.mesh_face[first : first + faces].astype(np.int64))
    primitive: Mesh = _PRIMITIVES[mujoco.mjtGeom(kind)](size)
    return primitive


def coarsen(vertices: Double, faces: NDArray[np.int64], cells: int = CELLS) -> Mesh:
    """Vertices in the same cell of a grid become their mean; faces that collapse go."""
    low = vertices.min(0)
    step = max(float((vertices.max(0) - low).max()) / cells, 1e-9)
    cell = ((vertices - low) / step).astype(np.int64)
    _, merged, counts = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
    merged = merged.reshape(-1)
    means = np.stack([np.bincount(merged, vertices[:, i]) for i in range(3)], 1) / counts[:, None]
    kept = merged[faces]
    whole = (kept[:, 0] != kept[:, 1]) & (kept[:, 1] != kept[:, 2]) & (kept[:, 2] != kept[:, 0])
    # The same three corners in the same turn are one face.
    turned = np.take_along_axis(kept, (kept.argmin(1)[:, None] + np.arange(3)) % 3, 1)
    return means, np.unique(turned[whole], axis=0)


def _box(size: Double) -> Mesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float) * size
    squares = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    # Each side has corners of its own: edges stay sharp when normals are averaged over a vertex.
    vertices = np.concatenate([corners[list(square)] for square in squares])
    return vertices, np.concatenate([[[4 * i, 4 * i + 1, 4 * i + 2], [4 * i, 4 * i + 2, 4 * i + 3]] for i in range(6)])


def _turned(radius: Double, height: Double) -> Mesh:
    """A profile (radius and height from bottom to top) turned around z."""
    angle = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], 1)
    vertices = np.concatenate([ring * [r, r, 0] + [0, 0, z] for r, z in zip(radius, height, strict=True)])
    here, there = np.arange(SEGMENTS), (np.arange(SEGMENTS) + 1) % SEGMENTS
    bands = []
    for i in range(len(radius) - 1):
        low, high = i * SEGMENTS, (i + 1) * SEGMENTS
        bands += [
            np.stack([low + here, low + there, high + there], 1),
            np.stack([low + here, high + there, high + here], 1),
        ]
    return vertices, np.concatenate(bands)


def _cylinder(size: Double) -> Mesh:
    r, h = size[0], size[1]
    # The rims twice, so that they stay sharp.
    return _turned(np.array([0, r, r, r, r, 0]), np.array([-h, -h, -h, h, h, h]))


def _capsule(size: Double) -> Mesh:
    r, h = size[0], size[1]
    angle = np.linspace(0, np.pi / 2, 4)
    radius, rise = r * np.sin(angle), r * np.cos(angle)
    return _turned(np.concatenate([radius, radius[::-1]]), np.concatenate([-h - rise, h + rise[::-1]]))


def _ellipsoid(size: Double) -> Mesh:
    angle = np.linspace(0, np.pi, 8)
    vertices, faces = _turned(np.sin(angle), -np.cos(angle))
    return vertices * size, faces


def _sphere(size: Double) -> Mesh:
    return _ellipsoid(np.full(3, size[0]))


_PRIMITIVES: dict[Any, Any] = {
    mujoco.mjtGeom.mjGEOM_BOX: _box,
    mujoco.mjtGeom.mjGEOM_CYLINDER: _cylinder,
    mujoco.mjtGeom.mjGEOM_CAPSULE: _capsule,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: _ellipsoid,
    mujoco.mjtGeom.mjGEOM_SPHERE: _sphere,
}
