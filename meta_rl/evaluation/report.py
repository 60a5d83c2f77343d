"""Evaluate a run and say it: ``evaluation.json``, ``report.md`` and what the terminal shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from meta_rl.agents.agent import load
from meta_rl.config import EvaluateConfig, check_protocol, load_config, to_dict
from meta_rl.errors import Say
from meta_rl.evaluation import markdown
from meta_rl.evaluation.keeping import JUDGED, keep_recording
from meta_rl.evaluation.kinds.table import kind_of
from meta_rl.evaluation.record import Evaluated, evaluated, files, read_record_file, write_record_file
from meta_rl.evaluation.recording import Recording
from meta_rl.evaluation.scores import Record, score_cells
from meta_rl.fewshot.published import caution
from meta_rl.runs.display import Display, Part
from meta_rl.runs.durable import replace_durably
from meta_rl.runs.folder import require_run, versions
from meta_rl.runs.log import training_seconds
from meta_rl.runs.loggers import check_loggers, log_evaluation


def evaluate_run(
    run_dir: str | Path,
    protocol: EvaluateConfig | None = None,
    say: Say = print,
    split: str = "test",
    iteration: int | None = None,
    loggers: Sequence[str] = (),
    data: str = "",
) -> Record:
    """Evaluate the newest checkpoint of a run and write ``evaluation.json`` and ``report.md`` into its folder, or
    into the one in an exported agent that is for results.

    Args:
        protocol: how it is judged; default: as its config says.
        say: told in lines what happens and what came of it.
        iteration: evaluate the checkpoint of this iteration instead, and write ``evaluations/ITERATION.json`` and
            ``.md``, so that the run's own evaluation stays that of its last checkpoint.
        loggers: also get the scores, in the log of the run: names as for ``--logger``. ``meta-rl train`` gives them to
            those of the run.
        data: where the data of a few-shot run lies, if it has moved.
    Returns:
        What the JSON file holds.
    """
    run_dir = Path(run_dir)
    check_loggers(loggers)
    require_run(run_dir)
    config = load_config(run_dir / "config.json")
    protocol = protocol or config.evaluate
    display = Display.of(say)
    record, _ = evaluate_and_record(run_dir, protocol, display, split, iteration, data)
    display.place("report", files(run_dir, iteration).report)
    log_evaluation(loggers, run_dir, config, record.iteration, record.scalars(), display)
    return record


def evaluate_and_record(
    run_dir: Path,
    protocol: EvaluateConfig,
    say: Say = print,
    split: str = "test",
    iteration: int | None = None,
    data: str = "",
) -> tuple[Record, Recording | None]:
    """As `evaluate_run`, with a recording of the episodes that a page shows, which is kept beside the evaluation; None
    for the checkpoint of an earlier iteration, and for labelled examples, which have no episodes."""
    agent, display = load(run_dir, iteration, data), Display.of(say)
    protocol = check_protocol(replace(agent.config, evaluate=protocol)).evaluate
    display(f"evaluating iteration {agent.iteration} on {agent.config.env}, {split} tasks")
    found, played = kind_of(agent.config).judge(agent, protocol, split, display, iteration is None)
    evaluation = Record(
        run=run_dir.name,
        iteration=agent.iteration,
        train_env_steps=agent.env_steps,
        split=split,
        protocol=to_dict(protocol),
        versions=versions(),
        **found,
    )
    place = files(run_dir, iteration)
    write_record_file(evaluation, place.evaluation)
    if played:
        keep_recording(played, run_dir, JUDGED, display)
    parts = report_parts(Evaluated(run_dir, agent.config, evaluation))
    text = markdown.document(parts) + "\n"
    replace_durably(place.report, text.encode())
    display.document(parts, text)
    return evaluation, played


def is_evaluated(run_dir: Path, protocol: EvaluateConfig) -> bool:
    """Whether the folder holds the evaluation of its newest checkpoint on the test tasks under `protocol`, and the
    page of it. Each must be younger than what it tells of: the evaluation than the last iteration, the page than both.
    """
    evaluation = files(run_dir).evaluation
    paths = [run_dir / "metrics.jsonl", evaluation, run_dir / "report.html"]
    if not all(path.exists() for path in (*paths, files(run_dir).report)):
        return False
    written = [path.stat().st_mtime_ns for path in paths]
    if written != sorted(written):
        return False
    record = read_record_file(evaluation)
    return record is not None and is_of(record, load(run_dir).iteration, protocol, "test")


def is_of(record: Record, iteration: int, protocol: EvaluateConfig, split: str) -> bool:
    """Whether an evaluation is that of an iteration, under `protocol`, on the tasks of a split."""
    return (record.iteration, record.split, record.protocol) == (iteration, split, to_dict(protocol))


def say_again(run_dir: Path, say: Say = print) -> None:
    """Say the report of a run that `is_evaluated`."""
    (run,) = evaluated([run_dir])
    Display.of(say).document(report_parts(run), files(run_dir).report.read_text())


def report(run: Evaluated) -> str:
    """The report in Markdown."""
    return markdown.document(report_parts(run)) + "\n"


def report_parts(run: Evaluated) -> list[Part]:
    """The report: scores, what they mean, and how to make it all again."""
    config, record, kind = run.config, run.record, kind_of(run.config)
    steps = [str(stage.steps) for stage in record.stages]
    made_with = ", ".join(f"{name} {value}" for name, value in record.versions.items())
    return [
        Part(f"{config.recipe} on {config.env}, seed {config.seed}", role="heading"),
        Part(kind.opening(run, training_seconds(run.folder, record.iteration))),
        Part(cells=score_cells(record, "adaptation steps", steps, record.ways)),
        *kind.remarks(record),
        *map(Part, caution(config.env)),
        Part(f"Versions: {made_with}."),
        Part(f"Again: `{run.training_command}`", role="command"),
    ]
