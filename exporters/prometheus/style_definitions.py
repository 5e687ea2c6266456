"""Metrics of dance styles: which the classifier names, and how their shares have moved."""

from typing import Final

from exporters.prometheus.kinds import CounterDefinition, Definition, GaugeDefinition, Label
from schemas.style_classifier import UNKNOWN_STYLE

_STREAM: Final = ("stream",)
_POOLS: Final = ("pools run",)
_STYLE: Final = Label("style", f"a style of the bundle's classifier; `{UNKNOWN_STYLE}` for clips of none of them")
_SAMPLE: Final = Label("sample", "`reference` (the generation's first clips), `window` (the latest)")

STYLES: Final = CounterDefinition(
    "dancerank_styles_total", "Clips by the style that the bundle's classifier named.", "clips", _STREAM, (_STYLE,)
)
STYLES_FAILED: Final = CounterDefinition(
    "dancerank_styles_failed_total",
    "Clips that the style classifier failed on; they are scored without a style.",
    "clips",
    _STREAM,
)
STYLE_SHARE: Final = GaugeDefinition(
    "dancerank_drift_style_share",
    "Share of each style in the judged clips of a drift sample.",
    "0 to 1",
    _POOLS,
    (_STYLE, _SAMPLE),
)
STYLE_PSI: Final = GaugeDefinition(
    "dancerank_drift_style_psi",
    "What each style adds to the population stability index of the latest clips' styles against the first ones'.",
    "0 or more",
    _POOLS,
    (_STYLE,),
)
METRICS: Final[tuple[Definition, ...]] = (STYLES, STYLES_FAILED, STYLE_SHARE, STYLE_PSI)
