"""The Hub client in a home of its own: no test reads or writes the user's cache, token or network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _cache_manager, _http

from pythia_geometry.suites.hub import patience
from pythia_geometry.suites.hub.suite import HubSuite
from pythia_geometry.suites.pythia import parse_name
from tests.hub.repository import Repository
from tests.hub.server import LocalHub

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The test's own Hub cache, not made yet."""
    cache = tmp_path / "hf_home" / "hub"
    for module in (constants, _cache_manager):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HOME", str(cache.parent))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache.parent / "token"))
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(cache.parent / "agents.json"))
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, NOWHERE)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield cache
    huggingface_hub.close_session()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the suite waited between attempts, without waiting them; nor does the client wait."""
    asked: list[float] = []
    monkeypatch.setattr(patience, "pause", lambda seconds, stop: asked.append(seconds))
    monkeypatch.setattr(_http, "time", SimpleNamespace(**{**vars(time), "sleep": lambda _: None}))
    return asked


@pytest.fixture
def serve() -> Iterator[Callable[..., LocalHub]]:
    """Starts a Hub for some repositories; it stops after the test."""
    started: list[LocalHub] = []

    def start(*repositories: Repository, page_size: int = 1000) -> LocalHub:
        hub = LocalHub(repositories, page_size=page_size)
        hub.__enter__()
        started.append(hub)
        return hub

    yield start
    huggingface_hub.close_session()
    for hub in started:
        hub.__exit__(None, None, None)


@pytest.fixture
def suite_of() -> Callable[[LocalHub | None, str], HubSuite]:
    """The suite of a repository on a Hub; None is a Hub that does not answer."""

    def make(hub: LocalHub | None, name: str = "EleutherAI/pythia-14m") -> HubSuite:
        return HubSuite(name, parse_name(name), hub.endpoint if hub else NOWHERE)

    return make
