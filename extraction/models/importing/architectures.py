"""Networks by the name of their architecture, without the classifier: what comes before it is the feature."""

from typing import Any, Final

from torch import nn

from schemas.errors import ConfigurationError, ExtraMissing
from schemas.escaping import shortened

LIBRARIES: Final = ("torchvision", "timm")
_CLASSIFIERS: Final = ("fc", "classifier", "heads", "head")
"""What torchvision's networks call their last layers."""


def open_architecture(architecture: str) -> nn.Module:
    """The network ``LIBRARY:NAME`` (``torchvision:resnet50``, ``timm:convnext_tiny``), with random weights.

    Raises ``ConfigurationError`` for a name that the library does not have, and ``ExtraMissing`` without the library.
    """
    library, _, name = architecture.partition(":")
    if library not in LIBRARIES or not name:
        raise ConfigurationError(
            f"--architecture {architecture!r} is not LIBRARY:NAME; the libraries are {' and '.join(LIBRARIES)}, for "
            "example torchvision:resnet50",
            field="architecture",
        )
    try:
        return _of_torchvision(name) if library == "torchvision" else _of_timm(name)
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"{architecture} needs {library}; install the extra: pip install 'dancerank[import]'"
        ) from error


def _of_torchvision(name: str) -> nn.Module:
    import torchvision

    if name not in torchvision.models.list_models(module=torchvision.models):
        raise _unknown("torchvision", name)
    network: Any = torchvision.models.get_model(name, weights=None)
    attribute = next((each for each in _CLASSIFIERS if hasattr(network, each)), None)
    if attribute is None:
        raise ConfigurationError(f"torchvision:{name} has no classifier that is known; choose another architecture")
    setattr(network, attribute, nn.Identity())
    return network  # type: ignore[no-any-return]


def _of_timm(name: str) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise _unknown("timm", name)
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    return network


def _unknown(library: str, name: str) -> ConfigurationError:
    quoted = shortened(repr(name), 80)
    return ConfigurationError(f"{library} has no architecture {quoted} for pictures", field="architecture")
