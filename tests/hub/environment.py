"""The environment variables that point a client process at a local Hub.

``huggingface_hub`` reads them when it is imported: a test that needs them runs the client in a subprocess.
"""

import os
from pathlib import Path

_FOREIGN = ("HF_", "HUGGINGFACE_", "HUGGING_FACE_", "TRANSFORMERS_")


def client_environment(endpoint: str, home: Path) -> dict[str, str]:
    """The variables of this process without any Hugging Face settings, plus those of the local Hub.

    Args:
        endpoint: ``LocalHub.endpoint``.
        home: Folder that takes the place of the user's cache and token.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, **hub_variables(endpoint, home)}


def hub_variables(endpoint: str, home: Path) -> dict[str, str]:
    """Only the variables of the local Hub: plain HTTP, no telemetry, no progress bars, a home of its own."""
    return {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DISABLE_SAFETENSORS_CONVERSION": "1",
        "NO_PROXY": "127.0.0.1",
    }
