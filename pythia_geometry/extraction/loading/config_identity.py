"""What of a `config.json` can decide a number, as one hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pythia_geometry.json_files import JsonError, parse_json

SAYS_NOTHING = frozenset(
    (
        "_name_or_path",
        "_commit_hash",
        "architectures",
        "dtype",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    )
)
"""Keys that decide no number here: the forward pass has its own dtype and no cache, and names are only names."""


def config_identity(config_file: Path) -> str:
    """Hash of the config without the keys that decide nothing; of its bytes where it is no JSON object."""
    content = config_file.read_bytes()
    try:
        config = parse_json(content, str(config_file), allow_nan=True)
    except JsonError:
        return hashlib.sha256(content).hexdigest()[:16]
    if isinstance(config, dict):
        config = {key: value for key, value in config.items() if key not in SAYS_NOTHING}
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
