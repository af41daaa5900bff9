"""Pages that mkdocs makes while it builds: the reference from docstrings, the command from its help, notebooks as pages."""

from __future__ import annotations

import json
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REFERENCE = {
    "python": ("From Python", ["pythia_geometry.api", "pythia_geometry.runs.request"]),
    "geometry": (
        "Measures of representation",
        [f"pythia_geometry.geometry.{m}" for m in ("representation", "dimension", "decay", "similarity", "decoding", "cloud")],
    ),
    "attention": (
        "Measures of heads",
        [f"pythia_geometry.attention.{m}" for m in ("scores", "output_rank", "copying", "targets")],
    ),
    "landscape": (
        "Measures of the loss surface",
        [f"pythia_geometry.landscape.{m}" for m in ("gradients", "hessian", "density", "sharpness", "llc", "surface")],
    ),
    "weights": ("Measures of weights", [f"pythia_geometry.weights.{m}" for m in ("spectra", "entries", "updates")]),
    "events": (
        "Onsets and collapse",
        [f"pythia_geometry.analysis.events.{m}"
         for m in ("rules", "onsets", "collapse", "summary", "survival", "coincidence", "item_bootstrap", "layer_order")],
    ),
    "precursor": (
        "The precursor test",
        [f"pythia_geometry.analysis.precursor.{m}"
         for m in ("verdict", "power", "task_matched_lag", "companion", "bend", "screening", "usual_tests", "event_study")],
    ),
    "claims": (
        "Claims",
        [f"pythia_geometry.analysis.claims.{m}" for m in ("table", "ruling", "evidence")],
    ),
    "figures": ("Figures", [f"pythia_geometry.report.{m}" for m in ("charts", "methods")]),
}  # fmt: skip
"""By page, its title and the modules whose docstrings it shows."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made and not written."""
    for name, (title, modules) in REFERENCE.items():
        parts = [
            f"# {title}\n\nMade from the docstrings.\n",
            *(f"## `{m}`\n\n::: {m}\n    options:\n      heading_level: 3\n" for m in modules),
        ]
        _add(files, config, f"reference/{name}.md", "\n".join(parts))
    _add(files, config, "reference/commands.md", commands_page())
    for file in [f for f in files if f.src_uri.endswith(".ipynb")]:
        _add(files, config, file.src_uri.replace(".ipynb", ".md"), notebook_page(Path(file.abs_src_path)))
    return files


def _add(files: Files, config: MkDocsConfig, uri: str, content: str) -> None:
    files.append(File.generated(config, uri, content=content))


def commands_page() -> str:
    """The help of every command, as typer writes it."""
    import typer
    from typer.cli import get_docs_for_click

    from pythia_geometry.cli import app

    command = typer.main.get_command(app)
    return get_docs_for_click(obj=command, ctx=typer.Context(command), name="pythia-geom", title="The command")


def notebook_page(path: Path) -> str:
    """A notebook's cells as Markdown: text as it is, code in fences, kept texts of outputs below."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    parts.append(f"[This page as a notebook]({path.name})")
    return "\n\n".join(parts) + "\n"
