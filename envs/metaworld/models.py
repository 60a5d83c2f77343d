"""Meta-World's own env objects on models without their looks.

Two thirds of a Meta-World model are textures, materials and meshes that are only drawn. Without them a family takes
3 MB instead of 21, and a step is faster too, because MuJoCo clears a flag per mesh triangle in each one. What the
physics reads is untouched: `slim` compares it, array by array.
"""

from __future__ import annotations

import functools
from typing import Any

import mujoco
import numpy as np

# Arrays that describe or index geoms, meshes and names, and so change when some of these go. (The geoms themselves are
# compared one by one.)
_LOOKS = ("geom_", "mesh_", "mat_", "tex_", "bvh_", "name", "names", "body_geom", "body_bvh", "site_matid", "paths")


@functools.cache
def slim_env(family: str) -> Any:
    """Meta-World's own env object of `family` on its slim model, made once per process; for resets only. All threads
    share it: `envs.threads.SHARED` is held from the call to the last use.

    Raises:
        ValueError: there is no such family.
    """
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # a second

    if family not in ALL_V3_ENVIRONMENTS:
        raise ValueError(f"{family!r} is not a Meta-World family")
    env = ALL_V3_ENVIRONMENTS[family]()
    env.model = slim(env.model, env.model_name)
    env.data = mujoco.MjData(env.model)
    env.mujoco_renderer = None  # it holds on to the full model
    return env


def slim(full: mujoco.MjModel, path: str) -> mujoco.MjModel:
    """The model `full`, which was compiled from the file `path`, without what is only drawn.

    Goes: geoms that neither collide nor have a name, the meshes that only they use, all materials and textures.

    Raises:
        RuntimeError: what is left would not move as `full` does (a MuJoCo or Meta-World that this was not made for).
    """
    spec = mujoco.MjSpec.from_file(path)
    geoms = list(spec.geoms)
    kept = [i for i in range(full.ngeom) if _collides(full, i) or full.geom(i).name]
    meshes = {geoms[i].meshname for i in kept}
    for i, geom in enumerate(geoms):
        if i in kept:
            geom.material = ""
        else:
            geom.delete()
    for site in spec.sites:
        site.material = ""
    for element in (*spec.materials, *spec.textures, *(m for m in spec.meshes if m.name not in meshes)):
        element.delete()
    model = spec.compile()
    if full.eq_data.shape == model.eq_data.shape:
        model.eq_data[:] = full.eq_data  # Meta-World rewrites it when an env object is made
    different = _different(full, model, kept)
    if different:
        raise RuntimeError(f"{path}: the slim model differs from the full one in {', '.join(different)}")
    return model


def _collides(model: mujoco.MjModel, geom: int) -> bool:
    return bool(model.geom_contype[geom] or model.geom_conaffinity[geom])


def _different(full: mujoco.MjModel, model: mujoco.MjModel, kept: list[int]) -> list[str]:
    """Names of what the physics reads and the two models do not share."""
    if model.ngeom != len(kept):
        return ["ngeom"]
    names = [n for n in dir(full) if isinstance(getattr(full, n), np.ndarray) and not n.startswith("_")]
    pairs = {n: (getattr(full, n), getattr(model, n)) for n in names if not n.startswith(_LOOKS)}
    geoms = [n for n in names if n.startswith("geom_") and n not in ("geom_dataid", "geom_matid")]
    pairs |= {n: (getattr(full, n)[kept], getattr(model, n)) for n in geoms}
    pairs |= {f"opt.{n}": (getattr(full.opt, n), getattr(model.opt, n)) for n in dir(full.opt) if not n.startswith("_")}
    for geom, old in enumerate(kept):
        if full.geom_dataid[old] >= 0:
            pairs |= {f"mesh of geom {geom}": (_vertices(full, old), _vertices(model, geom))}
    return [n for n, (a, b) in pairs.items() if not np.array_equal(a, b)]


def _vertices(model: mujoco.MjModel, geom: int) -> Any:
    mesh = model.geom_dataid[geom]
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    return model.mesh_vert[first : first + count]
