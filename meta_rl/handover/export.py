"""``meta-rl export``: a finished run as a folder to hand over or to publish, see `meta_rl.agents.bundle`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from meta_rl.agents import bundle
from meta_rl.agents.agent import interface_of, load_state
from meta_rl.config import RECIPES, TrainConfig, check_protocol, load_config, make_distribution, replace_paths
from meta_rl.core.interface import INTERFACE, Interface
from meta_rl.core.moments import Moments
from meta_rl.errors import ConfigError, RunError, Say
from meta_rl.evaluation.record import evaluations, files, read_evaluation
from meta_rl.extras import check_installed
from meta_rl.handover.card import addressed, model_card
from meta_rl.handover.options import ExportConfig
from meta_rl.runs import durable
from meta_rl.runs.folder import MANIFEST, RESULTS, about_run, check_free, is_exported, of_iteration, versions
from meta_rl.runs.recorded import FINGERPRINT, LEARNED_ON, differing_interfaces

REPLAYS = (".mp4", ".html")


def export_run(run_dir: Path, options: ExportConfig, say: Say = print) -> Path:
    """Export a run as the options say, after checking them; returns the folder. An exported agent is only uploaded.

    Raises:
        ConfigError, RunError: as `export`, `check_hub` and `push`; an option has no meaning here.
    """
    name = options.push_to_hub
    if options.private and not name:
        raise ConfigError("--private: without --push-to-hub nothing leaves this machine; leave it out, or name both")
    if options.adapted:
        raise ConfigError("--adapted: for --format onnx or pt2; a saved player is a folder to hand over already")
    if options.tasks and not options.out:
        raise ConfigError("--tasks: --out names the folder of an agent that is handed over for other tasks")
    if is_exported(run_dir) and not options.tasks:
        out = run_dir
        address_exported(run_dir, options)
    else:
        out = Path(options.out) if options.out else of_iteration(run_dir / "export", options.iteration)
        check_out(out)
        video = of_iteration(run_dir / "adaptation.mp4", options.iteration)
        replay = Path(options.replay) if options.replay else video if video.exists() and not options.tasks else None
        if replay:
            check_replay(replay)
        if name:
            check_hub(name)
        export(run_dir, out, replay, name, options.iteration, options.data, options.tasks)
        say(f"agent: {out}; load it with meta_rl.load({str(out)!r})")
    if name:
        say(f"uploaded to {push(out, name, options.private)}")
    return out


def address_exported(folder: Path, options: ExportConfig) -> None:
    """Check that an exported agent can be uploaded as the options say, and let its card say where it will be.

    Raises:
        ConfigError: it is not to be uploaded, or to be changed; as `check_hub`.
        RunError: the agent is damaged, or its card cannot be written.
    """
    for option in ("out", "replay", "data"):
        if getattr(options, option):
            raise ConfigError(f"--{option}: {folder} is an exported agent, which is uploaded as it is; leave it out")
    if not options.push_to_hub:
        raise ConfigError(f"RUN: {folder} is an exported agent already; --push-to-hub USER/NAME uploads it")
    check_hub(options.push_to_hub)
    bundle.read_bundle(folder)
    card = folder / "README.md"
    try:
        if card.exists():
            text = addressed(card.read_text(), options.push_to_hub)
            durable.replace_durably(card, text.encode())
    except OSError as error:
        raise RunError(f"{card}: {error.strerror or error}") from error


def export(
    run_dir: Path,
    out: Path,
    replay: Path | None = None,
    name: str = "",
    iteration: int | None = None,
    data: str = "",
    tasks: str = "",
) -> Path:
    """Write the newest checkpoint of a run into the folder `out` as an agent, with a model card, whose results are
    those of this checkpoint.

    Args:
        replay: a video or page that shows the agent, copied beside it.
        name: of the repository on the Hub, if it goes there: the card then tells how to get it.
        iteration: take the checkpoint of this iteration and no other.
        data: where the data lies, if it has moved; runs that wrote down their spaces, as all do now, need none.
        tasks: name of the task distribution that it is handed over for; empty: its own. It takes no results along to
            others.
    Raises:
        ConfigError: no run or checkpoint there, an evaluation of an earlier version, `out` holds something else, or the
            other tasks do not have its observations and actions.
        RunError: the checkpoint is damaged, or `out` cannot be written.
    """
    check_out(out)
    config, evaluated = load_config(run_dir / "config.json"), None
    agent = _bundle(run_dir, config, iteration, data)
    headline = files(run_dir).evaluation
    if tasks:
        config, agent = _for_tasks(tasks, config, agent)
    else:
        if headline.exists():
            read_evaluation(run_dir)  # refuses one of an earlier version
        evaluated = next(evaluations(run_dir, agent.iteration), None)
    replay_name = f"replay{replay.suffix}" if replay else ""
    card = model_card(run_dir, config, agent, evaluated, replay_name, name)
    try:
        bundle.write_bundle(out, config, agent)
        for left in (headline.name, *(f"replay{suffix}" for suffix in REPLAYS)):  # by the agent that lay here
            (out / left).unlink(missing_ok=True)
        durable.replace_durably(out / "README.md", card.encode())
        if replay:
            shutil.copyfile(replay, out / replay_name)
        if evaluated:
            shutil.copyfile(evaluated[0].evaluation, out / headline.name)
    except OSError as error:
        raise RunError(f"{out}: {error.strerror or error}") from error
    return out


def _bundle(run_dir: Path, config: TrainConfig, iteration: int | None, data: str) -> bundle.Bundle:
    """The agent of a run, or one that was exported before."""
    if is_exported(run_dir):
        return bundle.read_bundle(run_dir)
    state = load_state(run_dir, iteration)
    about = about_run(run_dir) or versions()
    about.pop(INTERFACE, None)
    interface = interface_of(run_dir, replace_paths(config, {"fewshot.data": data}) if data else config)
    returned = Moments.among(state.extras)
    return bundle.Bundle(state.weights, state.iteration, state.env_steps, interface, about, returned)


def _for_tasks(tasks: str, config: TrainConfig, agent: bundle.Bundle) -> tuple[TrainConfig, bundle.Bundle]:
    """The agent for other tasks; what it has learned from is written down apart.

    Raises:
        ConfigError: there are no such tasks, or they do not have its observations and actions.
    """
    if RECIPES[config.recipe].learns != "rl":
        raise ConfigError("--tasks: for agents that act; one of labelled examples answers what it is asked")
    moved = check_protocol(replace(config, env=tasks))
    distribution = make_distribution(moved)
    if changes := list(differing_interfaces(agent.interface, Interface.of(distribution))):
        raise ConfigError(f"--tasks: {tasks} does not fit the agent: {'; '.join(changes)}")
    learned = {LEARNED_ON: {"env": config.env, FINGERPRINT: agent.about.get(FINGERPRINT, {})}}
    about = {key: value for key, value in agent.about.items() if key != FINGERPRINT}
    interface = replace(agent.interface, horizon=distribution.horizon)
    return moved, replace(agent, interface=interface, about=learned | about)  # of an agent that moved before, the first


def check_out(out: Path) -> None:
    """Refuse a folder that holds anything but an exported agent, see `check_free`."""
    check_free(out, MANIFEST, "an exported agent", "--out:")


def check_replay(replay: Path) -> None:
    """Raise ConfigError unless `replay` is a file that can be shown."""
    if replay.suffix not in REPLAYS or not replay.is_file():
        raise ConfigError(f"--replay: {replay} is not a file of a kind that can be shown; valid: {', '.join(REPLAYS)}")


def check_hub(name: str) -> None:
    """Refuse what could only fail after the work.

    Raises:
        ConfigError: the extra is missing, the name is none, or nobody is logged in.
    """
    check_installed("--push-to-hub:", "huggingface_hub", "hub")
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        raise ConfigError(f"--push-to-hub: {name!r} is no name of a repository; valid: USER/NAME") from None
    if get_token() is None:
        raise ConfigError("--push-to-hub: nobody is logged in; run: hf auth login, or set HF_TOKEN")


def push(folder: Path, name: str, private: bool = False) -> str:
    """Upload an exported agent to the Hugging Face Hub, without the results that later commands have put into it.

    Args:
        private: the repository must be a private one; it is made so, if it is not there yet.
    Returns:
        The address of the repository.
    Raises:
        RunError: the Hub refuses or is not within reach, or a public repository has that name; the folder is intact.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(name, private=private or None, exist_ok=True)  # one that exists stays as it is
        public = private and not api.model_info(name).private
        if not public:
            api.upload_folder(
                repo_id=name, folder_path=folder, commit_message="meta-rl export", ignore_patterns=[f"{RESULTS}/*"]
            )
    # What goes wrong below (sockets, TLS, HTTP) has no common base class.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RunError(f"--push-to-hub: {name} was not uploaded: {reason}; the agent is in {folder}") from error
    if public:
        raise RunError(f"--private: {name} is a public repository, so nothing was uploaded; the agent is in {folder}")
    return str(address)
