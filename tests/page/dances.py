"""What the API answers about the movement of a clip, made up: a body that waves, with a joint not seen at first."""

import math
import re
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from playwright.sync_api import Page, Route

from schemas.joints import MPII_16

RATE_HZ: Final = 25.0
_REST: Final = (
    *((-20, 100), (-18, 55), (-15, 5), (15, 5), (18, 55), (20, 100)),
    *((0, 0), (0, -55), (0, -65), (0, -95)),
    *((-60, -10), (-45, -35), (-22, -55), (22, -55), (45, -35), (60, -10)),
)
_WRISTS: Final = (10, 15)


def skeleton(clip_id: str, *, seconds: float = 2.0, rate_hz: float = RATE_HZ) -> dict[str, Any]:
    frames = max(1, round(seconds * rate_hz))
    positions = [[list(_at(v, t / rate_hz)) for v in range(MPII_16.joint_count)] for t in range(frames)]
    unseen: list[list[list[float] | None]] = [list(frame) for frame in positions]
    unseen[0][_WRISTS[0]] = None
    return _layout(clip_id, rate_hz, frames) | {"positions": unseen}


def guidance(clip_id: str, *, of: str = "skeletal", critical: int = 3, seconds: float = 2.0) -> dict[str, Any]:
    """Raise the left wrist, and nothing else; most of all at the critical frames, which are 0.4 s apart."""
    frames = round(seconds * RATE_HZ)
    vectors: list[list[list[float] | None]] = [[[0.0, 0.0] for _ in MPII_16.joints] for _ in range(frames)]
    for frame in vectors:
        frame[_WRISTS[1]] = [0.0, -0.02]
        frame[_WRISTS[0]] = None
    moments = [
        {
            "frame": 5 + 10 * number,
            "time_s": (5 + 10 * number) / RATE_HZ,
            "magnitude": 0.02,
            "joints": ["left wrist"],
            "sentence": f"raise the left wrist ({number + 1})",
        }
        for number in range(critical)
    ]
    said = {"generation": "g1", "of": of, "smoothing": "raw", "score": 0.62, "body": 48.0, "largest": 0.02}
    return _layout(clip_id, RATE_HZ, frames) | said | {"vectors": vectors, "critical_frames": moments}


def _layout(clip_id: str, rate_hz: float, frames: int) -> dict[str, Any]:
    names = {"layout": MPII_16.name, "joints": list(MPII_16.joints), "bones": [list(bone) for bone in MPII_16.edges]}
    return {"clip_id": clip_id, "rate_hz": rate_hz, "frames": frames} | names


def _at(joint: int, time_s: float) -> tuple[float, float]:
    x, y = _REST[joint]
    wave = math.sin(2 * math.pi * time_s / 1.5)
    return (x + 8 * wave, y - (45 * (1 + wave) if joint in _WRISTS else 0))


def answered(page: Page, *, without: Collection[str] = ()) -> None:
    """Answers requests of ``page`` for movement and guidance. Clips ``without`` a skeleton are answered with 404."""

    def skeletons(route: Route) -> None:
        clip_id, query = _asked(route)
        if clip_id in without:
            route.fulfill(status=404, json=_refused("features_not_kept", "the features of this clip were not kept"))
        else:
            route.fulfill(json=skeleton(clip_id, rate_hz=float(query["rate_hz"])))

    def guidances(route: Route) -> None:
        clip_id, query = _asked(route)
        if clip_id in without:
            route.fulfill(status=501, json=_refused("not_offered", "this bundle has no gradient graphs"))
        else:
            route.fulfill(json=guidance(clip_id, of=query["of"], critical=int(query["critical"])))

    page.route(re.compile(r"/v1/clips/[^/]+/skeleton"), skeletons)
    page.route(re.compile(r"/v1/clips/[^/]+/guidance"), guidances)


def _asked(route: Route) -> tuple[str, dict[str, str]]:
    address = urlsplit(route.request.url)
    return unquote(address.path.split("/")[-2]), dict(parse_qsl(address.query))


def _refused(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "parameter": None}}
