"""What `--device` names: one device, or several that share a walk; and whether this machine has them."""

from __future__ import annotations

from pythia_geometry.errors import PythiaGeometryError

AUTO_DEVICE, ALL_GPUS = "auto", "cuda:all"


def names_several(given: str) -> bool:
    """Whether the words ask for more than one device; `cuda:all` does, also on a machine with one GPU."""
    return "," in given or given == ALL_GPUS


def find_devices(given: str) -> tuple[str, ...]:
    """The devices by their torch names, in the order given; one may be named twice.

    Args:
        given: `auto`, `cpu`, `cuda`, `cuda:1` …, several joined by commas, or `cuda:all`.

    Raises:
        PythiaGeometryError: If one is no device, or this machine does not have it.
    """
    import torch

    if given == ALL_GPUS and torch.cuda.is_available():
        return tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    names = [name.strip() for name in given.split(",")]
    if ALL_GPUS in names and len(names) > 1:
        raise PythiaGeometryError(f"--device {given}: {ALL_GPUS} stands alone; name the others one by one, as cuda:0")
    if not all(names):
        raise PythiaGeometryError(f"--device {given!r} has a comma with no device beside it")
    return tuple(map(_find, names))


def _find(name: str) -> str:
    import torch

    if name == AUTO_DEVICE:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device("cuda" if name == ALL_GPUS else name)
    except RuntimeError as error:
        raise PythiaGeometryError(
            f"--device {name!r} is not one of: auto, cpu, cuda, cuda:1 …, several joined by commas, cuda:all"
        ) from error
    available = {"cpu": True, "cuda": torch.cuda.is_available()}
    if not available.get(device.type, False):
        raise PythiaGeometryError(f"--device {name}: this machine has no {device.type.upper()} GPU. Pass --device cpu")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise PythiaGeometryError(f"--device {name}: the last GPU of this machine is cuda:{count - 1}")
    return name
