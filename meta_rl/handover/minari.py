"""Recorded episodes as a Minari data set (extra ``minari``), the offline-RL format of the Farama Foundation."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from meta_rl.config import RECIPES
from meta_rl.core.interface import Interface
from meta_rl.errors import ConfigError
from meta_rl.evaluation.recording import Recording
from meta_rl.extras import check_installed


def check_minari(name: str) -> None:
    """Refuse what could only fail after the episodes were played.

    Raises:
        ConfigError: the extra is missing, the name is none, or it is taken.
    """
    check_installed("--minari:", "minari", "minari", "minari", "h5py")
    from minari.dataset.minari_dataset import parse_dataset_id
    from minari.storage import get_dataset_path

    try:
        parse_dataset_id(name)
    except (ValueError, TypeError):  # the latter for a name without a version
        raise ConfigError(f"--minari: {name!r} is no name of a data set; valid: NAME-v0 or SPACE/NAME-v0") from None
    folder = Path(get_dataset_path(name))
    if folder.exists():
        raise ConfigError(f"--minari: {name} exists in {folder}; choose another name or version")


def to_minari(recording: Recording, interface: Interface, name: str) -> Path:
    """Write every judged episode as one of Minari, without what comes after its end.

    Infos have ``success``, and ``expert_action`` where it is recorded. Each episode's ``options`` say what it was:
    ``family`` and ``vector`` of its task, ``stage`` (adaptation steps before it), ``position`` of the task among the
    test tasks, ``episode``.

    Args:
        name: SPACE/NAME-v0; Minari keeps it in $MINARI_DATASETS_PATH, else in its folder in the user's home.
    Returns:
        The folder of the data set.
    """
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.storage import get_dataset_path

    episodes = []
    for task, stage, episode in np.ndindex(recording.reward.shape[:3]):
        here = task, stage, episode
        length = int(recording.lengths[here])
        ends = np.arange(length) == length - 1
        terminated = bool(recording.terminated[here])
        infos = {"success": recording.success[here][:length]}
        if recording.label is not None:
            infos["expert_action"] = recording.label[here][:length]
        what = {"stage": stage, "position": recording.positions[task], "episode": episode}
        episodes.append(
            EpisodeBuffer(
                observations=recording.observation[here][: length + 1],
                actions=recording.action[here][:length],
                rewards=recording.reward[here][:length],
                terminations=ends & terminated,
                truncations=ends & (not terminated),
                infos=infos,
                options={"family": recording.tasks[task].family, "vector": recording.tasks[task].array, **what},
            )
        )
    about = recording.about
    if recipe := RECIPES.get(about["recipe"]):
        who, how = recipe.summary, f"before and after adaptation; iteration {about['iteration']}"
    else:
        who, how = "its expert", f"noise {about['noise']:g}"
    with warnings.catch_warnings():  # about authors and permalinks, which are not ours to give
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            name,
            episodes,
            observation_space=interface.observation_space,
            action_space=interface.action_space,
            algorithm_name=about["recipe"],
            description=f"{who}; {about['split']} tasks of {about['env']}, {how}, seed {about['seed']}, recorded by "
            "meta-rl",
        )
    return Path(get_dataset_path(name))
