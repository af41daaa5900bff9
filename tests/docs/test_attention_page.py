"""docs/attention.md says what the tables say."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_generated_parts_are_what_the_tables_say(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location("build_attention_page", ROOT / "scripts" / "build_attention_page.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = (ROOT / "docs" / "attention.md").read_text(encoding="utf-8")
    assert text.count("<!-- begin:") == text.count("<!-- end:") == len(script.PARTS)
    assert script.built(text) == text
    for mark in ("begin", "end"):  # else all that follows would be lost
        with pytest.raises(SystemExit, match="lacks the marks of the part 'patterns'"):
            script.built(text.replace(f"<!-- {mark}: patterns", "<!-- "))
