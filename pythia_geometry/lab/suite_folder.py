"""The folder of one lab run: an ordinary local suite, and what an interrupted training needs to go on.

lab/nano-gpt2-seed0/
    suite.json  tokenizer.json          what a walk needs beside the weights
    lab.jsonl                           probes of task-levels as they do not ship, where some were trained
    step0/  step1/  …                   config.json and model.safetensors, float16, in the Hub's layout
    training.json                       the settings; another run's folder is refused
    state.pt                            weights and optimiser to go on from; gone when done
    losses.csv                          loss by step
"""

from __future__ import annotations

import errno
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from pythia_geometry.errors import MachineError, PythiaGeometryError
from pythia_geometry.lab.batches import draw_batch, write_tokenizer
from pythia_geometry.lab.probes import ALGORITHMIC, OWN, write_rows
from pythia_geometry.lab.release import loss_opens, released
from pythia_geometry.lab.settings import MAX_STEPS, STAGGERED, Training, check_whole, checkpoint_steps
from pythia_geometry.lab.tasks import default_levels
from pythia_geometry.store.writing import lock, renamed, replacing, sync

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

STATE, SETTINGS, LOSSES, FACTS_NAME = "state.pt", "training.json", "losses.csv", "suite.json"
TOKENIZER = "tokenizer.json"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what more room would mend


def diverged(name: str, step: int) -> PythiaGeometryError:
    """What is said of a run whose loss or gradient is no number: every checkpoint after it would hold none either."""
    return PythiaGeometryError(
        f"{name}: the loss of step {step:,}, or its gradient, is not a number. What was saved before is kept; pass a "
        "lower --rate"
    )


def is_finished(folder: Path) -> bool:
    """Whether the run that the folder holds went to its end."""
    return (folder / LOSSES).exists()


def progress(folder: Path) -> tuple[int, int]:
    """Checkpoints that are there, and that there will be.

    Raises:
        PythiaGeometryError: If the folder's settings are damaged.
    """
    try:
        steps = _held(folder / SETTINGS)["steps"]
        if type(steps) is not int:  # neither true nor "2"
            raise TypeError(f"steps {steps!r} is no whole number")
        check_whole("steps", steps, 1, MAX_STEPS)
    except (ValueError, KeyError, TypeError, PythiaGeometryError) as error:
        raise PythiaGeometryError(f"{folder / SETTINGS} is damaged: {error}. Pass another --out") from error
    wanted = checkpoint_steps(steps)
    return sum((folder / f"step{step}").is_dir() for step in wanted), len(wanted)


class Settings(Protocol):
    """What a folder must know of its run: a dataclass with a name and a size."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """The folder's name."""
        ...

    @property
    def bytes_on_disk(self) -> int:
        """What its folder takes at most."""
        ...


Run = TypeVar("Run", bound=Settings)


@contextmanager
def writing(folder: Path, training: Run, write_facts: Callable[[Path, Run], None]) -> Iterator[None]:
    """Makes the folder, or checks that it holds this very run, and keeps others out.

    Args:
        folder: Its place.
        training: The run's settings.
        write_facts: Writes what a walk needs beside the weights, `suite.json` last.

    Raises:
        PythiaGeometryError: If the folder holds something else.
        MachineError: If the disk has too little room, or gives out, or another training writes here.
    """
    from safetensors import SafetensorError

    try:
        _refuse_others(folder, training)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as stream:
            lock(stream, folder, "training")
            _prepare(folder, training, write_facts)
            yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        todo = (
            "free some space" if getattr(error, "errno", None) in (None, *FULL) else "pass another --out, or mend that"
        )
        raise MachineError(
            f"Cannot write to {folder}: {reason}. What was saved is kept; {todo} and type the same again"
        ) from error


def _refuse_others(folder: Path, training: Settings) -> None:
    """Refuses a folder that holds another run, or something else."""
    settings, record = _settings(training), folder / SETTINGS
    if record.exists():
        try:
            held = _held(record)
        except ValueError as error:
            raise PythiaGeometryError(f"{record} is damaged: {error}. Pass another --out") from error
        if unknown := [key for key in held if key not in settings]:
            raise PythiaGeometryError(
                f"{record} says {unknown[0]} {held[unknown[0]]!r}, unknown to this version: a newer one made it. "
                "Pass another --out, or train with that version"
            )
        # A record from before a setting existed means its default.
        held = {field.name: field.default for field in fields(training)} | held
        different = [f"{key} {held[key]!r}" for key in settings if held[key] != settings[key]]
        if different:
            raise PythiaGeometryError(
                f"{folder} holds another run ({', '.join(different)}). Pass another --out, or type its own settings"
            )
    elif folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise PythiaGeometryError(f"{folder} is not empty and holds no lab run. Pass another --out")


def _held(record: Path) -> dict[str, Any]:
    """The settings of a folder.

    Raises:
        ValueError: If the file holds no JSON, or JSON of something else, or cannot be read.
    """
    try:
        held = json.loads(record.read_text())
    except OSError as error:
        raise ValueError(error.strerror) from error
    if not isinstance(held, dict):
        raise ValueError(f"expected settings by name, found {type(held).__name__}")
    return held


def _prepare(folder: Path, training: Run, write_facts: Callable[[Path, Run], None]) -> None:
    """Writes the settings first: whatever stops the training later, they say whose folder this is.

    The folder is held. Each file is there whole or not at all, and what a stopped call did not come to is written now.
    """
    _refuse_others(folder, training)  # again: another training may have begun here meanwhile
    if not is_finished(folder):
        check_room({folder: training})
    if not (folder / SETTINGS).exists():
        with replacing(folder / SETTINGS) as temporary:
            temporary.write_text(json.dumps(_settings(training), indent=2) + "\n")
    if not _holds_facts(folder):
        write_facts(folder, training)
    if is_finished(folder):
        (folder / STATE).unlink(missing_ok=True)  # of a call that was stopped after its last word


def _holds_facts(folder: Path) -> bool:
    """Whether `suite.json`, the tokenizer and probes of its own are there and sound.

    What is damaged is written anew: the settings decide all of it.
    """
    try:
        own = [probe for probe in json.loads((folder / FACTS_NAME).read_text())["probes"] if probe.endswith(".jsonl")]
        vocabulary = json.loads((folder / TOKENIZER).read_text())["model"]["vocab"]
        return bool(vocabulary) and all((folder / probe).stat().st_size for probe in own)
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _settings(training: Settings) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(json.dumps(asdict(training)))
    return settings


def check_room(runs: Mapping[Path, Settings]) -> None:
    """Accepts runs that are written at once, by their folders, if all of them fit.

    Raises:
        MachineError: If the disk has too little room.
    """
    needed = 0
    for folder, training in runs.items():
        held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        needed += max(0, training.bytes_on_disk - held)
    folder, training = next(iter(runs.items()))
    free = shutil.disk_usage(folder).free
    if free < needed:
        who = f"{training.name} needs" if len(runs) == 1 else f"{len(runs)} runs like {training.name} need"
        raise MachineError(
            f"{who} {needed / 1e6:,.0f} MB more in {folder}, where {free / 1e6:,.0f} MB are free. "
            "Pass another --out, or fewer --steps (pythia-geom lab plan says what a run needs)"
        )


def write_facts(folder: Path, training: Training) -> None:
    """Tokenizer and probes, then `suite.json`, whose presence says that they are there."""
    with replacing(folder / TOKENIZER) as temporary:
        write_tokenizer(temporary)
    shipped, probes = set(default_levels()), [ALGORITHMIC]
    own = [level for level in training.levels if level not in shipped]
    if training.tasks or own:
        probes = [f"{ALGORITHMIC}/{level.name}" for level in training.levels if level in shipped]
    if own:
        with replacing(folder / f"{OWN}.jsonl") as temporary:
            write_rows(own, temporary)
        probes.append(f"{OWN}.jsonl")
    facts: dict[str, Any] = {
        "suite": "lab",
        "name": training.model,
        "seed": training.seed,
        "tokens_per_step": _tokens_per_step(training),
        "training_dtype": "float32",
        "probes": probes,
        "mixture": {"tasks": [level.name for level in training.levels], "all_tokens": training.all_tokens},
    }
    if training.plant_bend:
        facts["mixture"]["bend"] = training.plant_bend
    if training.release == STAGGERED:
        facts |= {"released": released(training), "loss_opens": loss_opens(training)}
        facts["mixture"]["opens"] = loss_opens(training)
    with replacing(folder / FACTS_NAME) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def _tokens_per_step(training: Training) -> int:
    """Mean tokens of a batch, pads not counted, over 20 steps."""
    batches = [draw_batch(training.levels, training.batch, training.seed, step) for step in range(20)]
    return round(sum(len(d.prompt) + len(d.answer) for batch in batches for d in batch) / len(batches))


def save_checkpoint(model: PreTrainedModel, folder: Path) -> None:
    """float16 weights under their Hub names, in one rename; a step that a stopped run saved is left alone."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    if folder.exists():
        return
    logging.disable_progress_bar()
    half = AutoModelForCausalLM.from_config(model.config)
    half.load_state_dict(model.state_dict())
    partial = folder.with_name(f".{folder.name}.partial")
    half.half().save_pretrained(partial)
    (partial / "generation_config.json").unlink(missing_ok=True)
    sync([*partial.iterdir(), partial])
    renamed(partial, folder)


def save_state(folder: Path, model: PreTrainedModel, optimizer: Any, step: int, losses: Sequence[float]) -> None:
    """What `restore` needs, in one rename."""
    import torch

    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "losses": list(losses)}
    # Through memory: torch's own file writer reports a full disk as a bug of its own.
    content = io.BytesIO()
    torch.save(state, content)
    with replacing(folder / STATE) as temporary:
        temporary.write_bytes(content.getbuffer())


def restore(
    folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, n_steps: int
) -> tuple[int, list[float]]:
    """Step to go on from, of n_steps in all, and the losses before it."""
    import torch

    file = folder / STATE
    if not file.exists():
        return 0, []
    try:
        state = torch.load(file, weights_only=True, map_location="cpu")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, losses = int(state["step"]), list(state["losses"])
        if not 0 <= step == len(losses) <= n_steps:
            raise ValueError(f"step {step}, {len(losses)} losses")
        return step, losses
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError, UnpicklingError) as error:
        raise PythiaGeometryError(
            f"{file} is damaged. Remove it, and the same command trains again from the start; checkpoints that are "
            "there are kept"
        ) from error


def finish(folder: Path, losses: Sequence[float]) -> None:
    """Writes the losses, whose file marks the end, and drops the state."""
    with replacing(folder / LOSSES) as temporary:
        temporary.write_text("step,loss\n" + "".join(f"{i},{value:.6g}\n" for i, value in enumerate(losses)))
    sync()
    (folder / STATE).unlink(missing_ok=True)
