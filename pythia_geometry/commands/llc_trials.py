"""The trials of `llc-calibrate`: one checkpoint's surface, many settings, a table, a picture and a proposal."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from pythia_geometry.commands.kept import Tables, deliver
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.loading.models import SuiteModel
from pythia_geometry.extraction.losses import PROBES
from pythia_geometry.extraction.probes.encoding import Encoder
from pythia_geometry.extraction.probes.probes import load_probes
from pythia_geometry.landscape.llc_calibration import Grid, Tried, calibrate, complaints, proposal
from pythia_geometry.landscape.parts import check_part, restricted
from pythia_geometry.landscape.sgld import Sampling
from pythia_geometry.landscape.surface import Surface
from pythia_geometry.report.drawing import save
from pythia_geometry.report.llc_trials import trials_chart
from pythia_geometry.runs.llc_option import as_text, read_llc
from pythia_geometry.runs.one_run.alone import surface_of
from pythia_geometry.runs.plan import losses_of
from pythia_geometry.runs.request import Request
from pythia_geometry.screens.console import open_console
from pythia_geometry.screens.table import show_table
from pythia_geometry.store.writing import replacing
from pythia_geometry.suites.checkpoint import OK, Checkpoint, run_name
from pythia_geometry.suites.named import find_suites
from pythia_geometry.suites.steps.chosen import parse_steps
from pythia_geometry.suites.suite import Suite
from pythia_geometry.typed_path import typed_path

PICTURE = "llc-calibration"


@dataclass(frozen=True)
class Trials:
    """What to try, and where.

    Attributes:
        model: As after `--model`.
        at: The step, or `last`.
        steps: Step sizes ε.
        localisations: Pulls γ.
        draws: Chain lengths.
        llc: The other settings, as after `--llc`.
        loss: As in a walk.
        text: As in a walk.
    """

    model: str
    at: str
    steps: tuple[float, ...]
    localisations: tuple[float, ...]
    draws: tuple[int, ...]
    llc: str = ""
    loss: str = "auto"
    text: str = ""


def run_trials(trials: Trials, out: str, as_json: bool = False) -> bool:
    """Tries all settings, shows and keeps what they gave; returns whether one of them is sound.

    Raises:
        PythiaGeometryError: If the step does not exist, no loss is known, or no chain can run so.
    """
    request = Request((trials.model,), steps=trials.at, measures=("llc",), loss=trials.loss, text=trials.text)
    suite, checkpoint = _place(trials)
    settings = read_llc(trials.llc)
    base = Sampling(**{key: value for key, value in settings.items() if key != "only"})
    for step, pull, draws in product(trials.steps, trials.localisations, trials.draws):
        replace(base, step=step, localisation=pull, draws=draws)  # refused before anything is computed
    console = open_console(quiet=as_json)

    def watch(tried: Tried) -> None:
        console.print(" · ".join(_cells(_row(tried))), highlight=False, markup=False)

    with tempfile.TemporaryDirectory() as folder:
        surface, of_what = _surface(suite, checkpoint, request, settings["only"], Path(folder))
        console.print(f"surface  {of_what}", highlight=False, markup=False)
        tried = calibrate(surface, base, Grid(trials.steps, trials.localisations, trials.draws), watch)
    table = pd.DataFrame([_row(one) for one in tried])
    for ending, content in save(trials_chart(table, checkpoint.label)).items():
        with replacing(typed_path(out) / f"{PICTURE}.{ending}") as temporary:
            temporary.write_bytes(content)
    best = proposal(tried)
    said = _said(best, tried, settings)
    asked = asdict(trials) | {"surface": of_what, "proposal": said}

    def show(tables: Tables) -> None:
        show_table(console, list(table.columns), [_cells(row) for row in tables[PICTURE].to_dict("records")])
        console.print(said, highlight=False, markup=False)
        console.print(f"picture  {out}/{PICTURE}.png (and .svg)", highlight=False, markup=False)

    deliver({PICTURE: table}, asked, [], typed_path(out), None if as_json else show)
    return best is not None


def _place(trials: Trials) -> tuple[Suite, Checkpoint]:
    """The run and its one chosen step."""
    suite = find_suites(trials.model)[0]
    found = suite.find(parse_steps(trials.at, suite.steps(), run_name(suite.model, suite.seed), "--at"))
    if len(found) != 1 or found[0].status != OK:
        bad = next((one.detail for one in found if one.status != OK), "")
        raise PythiaGeometryError(bad or f"--at must name one step; {trials.at} names {len(found)}")
    return suite, found[0]


def _surface(suite: Suite, checkpoint: Checkpoint, request: Request, only: str, folder: Path) -> tuple[Surface, str]:
    """The surface of the run's loss at the step, over a part of the parameters; and of what it is, in words."""
    model = SuiteModel(suite.config_file(checkpoint), request.dtype, request.resolved_device)
    check_part(model.module, only)
    encoder, shape = Encoder(suite.tokenizer_file()), model.shape
    asked = load_probes(suite.default_probes) if request.loss == PROBES else []
    probes = [encoder.encode(probe, shape.vocab_size, shape.context) for probe in asked]
    losses = losses_of(request, suite, encoder, probes, shape)
    loss = losses[0].at(checkpoint.step)
    if loss.reason:
        raise PythiaGeometryError(f"{checkpoint.label}: {loss.reason}")
    model.swap(suite.fetch(checkpoint, folder), checkpoint, suite.config_file(checkpoint))
    first = f", the first of {len(losses)}" if len(losses) > 1 else ""
    named = f"{loss.kind} {loss.task}".strip()
    return restricted(surface_of(model, loss), only), f"{named}{first}: {len(loss.sequences):,} examples"


def _row(tried: Tried) -> dict[str, Any]:
    sampling, found = tried.sampling, tried.found.estimate
    return {
        "step": sampling.step,
        "localisation": sampling.localisation,
        "localisation_over_n_beta": sampling.localisation / sampling.n_beta,
        "draws": sampling.draws,
        "llc": found.value,
        "error": found.error,
        "sound": tried.is_sound,
        "reason": found.reason,
    }


def _cells(row: Mapping[Any, Any]) -> list[str]:
    return [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()]


def _said(best: Tried | None, tried: Sequence[Tried], settings: Mapping[str, Any]) -> str:
    if best is None:
        against = ", ".join(f"{reason} ({count} of {len(tried)})" for reason, count in complaints(tried))
        return (
            f"No setting is sound: {against}. A smaller step mends bias and noise, more draws or a stronger pull what "
            "is not equilibrated; no setting mends a checkpoint that is not at a minimum"
        )
    chosen = {k: v for k, v in asdict(best.sampling).items() if k in settings} | {"only": settings["only"]}
    text = as_text(chosen)
    return (
        f"Proposal, the sound setting with the least pull: {f'--llc {text}' if text else 'the usual one'} "
        f"(γ/nβ = {best.sampling.localisation / best.sampling.n_beta:g}). Keep it at every step: values compare at one "
        "setting only"
    )
