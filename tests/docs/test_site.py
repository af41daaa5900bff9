"""The site builds strictly and loads nothing from elsewhere; what README and docs tell people to type exists."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from pythia_geometry.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUOTE_THEIR_TIME = {"decisions"}
"""Folders whose pages quote commands of their time."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: Path) -> None:
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    written = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    notebooks = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.ipynb")}
    assert written | notebooks < built
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", text):
            assert not re.search(r"""\b(?:src|href)=["']?(?:https?:)?//""", tag), f"{page}: {tag}"


def test_reference_pages_hold_docstrings_and_the_command_all_commands(site: Path) -> None:
    assert "How it misleads" in (site / "reference" / "geometry.html").read_text(encoding="utf-8")
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for name in ("precursors", "report", "lab train", "--from", "--methods"):
        assert name in commands


def test_links_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def blocks_of(page: Path, *kinds: str) -> list[str]:
    """Contents of the fenced blocks of some kinds."""
    found: list[str] = []
    opened = None
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            opened = None if opened is not None else line.strip("` ")
            found += [""] if opened is not None and opened in kinds else []
        elif opened is not None and opened in kinds:
            found[-1] += f"{line.strip()}\n"
    return found


def said_commands() -> list[tuple[str, str, bool]]:
    """Every command of `pythia-geom` in the pages: its page, the line, and whether it stands in a sentence."""
    found = []
    for page in PAGES:
        if QUOTE_THEIR_TIME & set(page.parts):
            continue
        blocks = blocks_of(page, "", "bash", "sh", "text")
        lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        found += [(page.name, line, False) for line in lines if line.startswith("pythia-geom ")]
        found += [(page.name, line, True) for line in re.findall(r"`(pythia-geom [^`]+)`", " ".join(prose.split()))]
    return sorted(set(found))


def deaf(command: Any) -> Any:
    """The command with every action taken out: what is left reads words."""
    command.callback = lambda *_, **__: None
    for below in getattr(command, "commands", {}).values():
        deaf(below)
    return command


def test_the_pages_name_many_commands() -> None:
    assert len(said_commands()) > 60


@pytest.mark.parametrize(("page", "line", "in_prose"), said_commands())
def test_a_command_of_the_pages_can_be_typed(page: str, line: str, in_prose: bool) -> None:
    words = shlex.split(line.partition(" #")[0])[1:]
    try:
        deaf(typer.main.get_command(app)).main([w for w in words if w != "…"], "pythia-geom", standalone_mode=False)
    except Exception as error:  # typer's own copy of click raises its own kinds
        is_named_only = in_prose and type(error).__name__ == "MissingParameter"  # a sentence about `pythia-geom doctor`
        assert is_named_only, f"{page}: {line}: {error!r}"


def test_names_that_the_pages_import_exist() -> None:
    seen = 0
    for page in PAGES:
        blocks = blocks_of(page, "python")
        for module, names in re.findall(r"^from (pythia_geometry[\w.]*) import ([\w, ]+)$", "\n".join(blocks), re.M):
            for name in names.split(","):
                assert hasattr(importlib.import_module(module), name.strip()), f"{page}: {module}.{name}"
                seen += 1
    assert seen > 5
