"""Why something could not be had from the Hub, in the user's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import constants, is_offline_mode
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    LocalEntryNotFoundError,
)

from pythia_geometry.errors import CheckpointError
from pythia_geometry.suites.checkpoint import CORRUPT, FAILED, MISSING
from pythia_geometry.suites.hub.asking import NO_ANSWER, GarbledError

_GARBAGE = (GarbledError, httpx2.TooManyRedirects, httpx2.DecodingError, httpx2.InvalidURL, FileMetadataError)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Says in the user's words why a file could not be fetched."""
    try:
        yield
    except LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, _GARBAGE):
            raise CheckpointError(f"{what} could not be fetched: {said(error.__cause__)}", CORRUPT) from error
        why = "--offline (or HF_HUB_OFFLINE) forbids to fetch it" if is_offline_mode() else "the Hub cannot be reached"
        raise CheckpointError(f"{what} is not in the Hub cache ({constants.HF_HUB_CACHE}) and {why}", FAILED) from error
    except EntryNotFoundError as error:
        raise CheckpointError(f"{what} is not on the Hub", MISSING) from error
    except GatedRepoError as error:
        raise CheckpointError(f"{what} could not be fetched: {gated('the repository')}", FAILED) from error
    except _GARBAGE as error:
        why = f"the Hub's answer cannot be understood: {said(error)}"
        raise CheckpointError(f"{what} could not be fetched: {why}", CORRUPT) from error
    except NO_ANSWER as error:
        raise CheckpointError(f"{what} could not be fetched: {said(error)}", FAILED) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise CheckpointError(f"{what} could not be fetched whole: {error}", CORRUPT) from error


def said(error: Exception) -> str:
    """The first line of an error, or its kind."""
    return str(error).split("\n")[0] or type(error).__name__


def gated(repository: str) -> str:
    """What to do about a repository whose files are for those who have accepted its terms."""
    return f"{repository} is gated. Accept its terms on the Hub, then type: hf auth login"
