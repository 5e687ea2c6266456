from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigurationError, FeatureFileForbidden
from streamer.roots import FeatureRoots, Location


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    secret = tmp_path / "secret.safetensors"
    secret.write_bytes(b"secret")
    return secret


def test_a_file_below_a_root_is_found(feature_root: Path) -> None:
    roots = FeatureRoots([feature_root.as_uri()])
    for uri in (f"{feature_root.as_uri()}/a/b.safetensors", f"file:{feature_root}/a/b.safetensors"):
        assert roots.resolve(uri) == Location("file", str(feature_root / "a" / "b.safetensors"))


@pytest.mark.parametrize(
    "path",
    ["../secret.safetensors", "a/../../secret.safetensors", "%2e%2e/secret.safetensors", "..%2Fsecret.safetensors"],
)
def test_no_spelling_of_the_parent_folder_leads_out(feature_root: Path, outside: Path, path: str) -> None:
    with pytest.raises(FeatureFileForbidden, match="outside the allowed roots"):
        FeatureRoots([feature_root.as_uri()]).resolve(f"{feature_root.as_uri()}/{path}")


def test_no_symbolic_link_leads_out(feature_root: Path, outside: Path) -> None:
    (feature_root / "link").symlink_to(outside)
    (feature_root / "folder").symlink_to(outside.parent)
    for path in ("link", "folder/secret.safetensors"):
        with pytest.raises(FeatureFileForbidden, match="outside the allowed roots"):
            FeatureRoots([feature_root.as_uri()]).resolve(f"{feature_root.as_uri()}/{path}")


def test_a_root_that_is_a_link_allows_the_files_of_its_target(tmp_path: Path, feature_root: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(feature_root)
    location = FeatureRoots([link.as_uri()]).resolve(f"{link.as_uri()}/clip")
    assert location.path == str(feature_root / "clip")


def test_a_folder_whose_name_begins_like_a_root_is_outside(tmp_path: Path, feature_root: Path) -> None:
    with pytest.raises(FeatureFileForbidden):
        FeatureRoots([feature_root.as_uri()]).resolve(f"{feature_root.as_uri()}-old/clip")


def test_a_plain_path_is_refused_with_the_uri_to_write_instead(feature_root: Path) -> None:
    with pytest.raises(FeatureFileForbidden, match=f"has no scheme; write 'file://{feature_root}/clip'"):
        FeatureRoots([feature_root.as_uri()]).resolve(f"{feature_root}/clip")


@pytest.mark.parametrize("uri", ["https://example.org/clip", "s3://bucket/clip", "memory://clips/clip"])
def test_a_scheme_without_a_root_is_refused_and_the_allowed_ones_named(feature_root: Path, uri: str) -> None:
    with pytest.raises(FeatureFileForbidden, match="allowed: file"):
        FeatureRoots([feature_root.as_uri()]).resolve(uri)


def test_without_roots_inline_features_are_the_remedy() -> None:
    with pytest.raises(FeatureFileForbidden, match="inline"):
        FeatureRoots([]).resolve("file:///clip")


def test_keys_of_other_schemes_are_compared_as_they_are() -> None:
    roots = FeatureRoots(["s3://bucket/features/"])
    assert roots.resolve("s3://bucket/features/day-1/clip") == Location("s3", "bucket/features/day-1/clip")
    for uri in (
        "s3://bucket/features-old/clip",
        "s3://other/features/clip",
        "s3://bucket/features",
        "S3://bucket/clip",
    ):
        with pytest.raises(FeatureFileForbidden, match="outside"):
            roots.resolve(uri)
    with pytest.raises(FeatureFileForbidden, match=r"contains '\.\.'"):
        roots.resolve("s3://bucket/features/../private/clip")


@pytest.mark.parametrize(
    "uri",
    [
        *("zip://a::file:///clip", "simplecache::s3://bucket/features/clip", "file:///a\0b", "file:///a%00b"),
        *("s3://bucket/features/clip::file:///etc/passwd", "file:///clip::zip", "s3://bucket/features/a\0b"),
        *(
            "file://other-host/clip",
            "file:relative/clip",
            "file://[bad/clip",
            "file:///clip?version=2",
            "file:///clip#1",
            "",
        ),
    ],
)
def test_a_uri_that_could_name_more_than_one_file_is_refused(uri: str) -> None:
    with pytest.raises(FeatureFileForbidden):
        FeatureRoots(["file:///", "s3://bucket/features"]).resolve(uri)


@pytest.mark.parametrize("start", ["file:///elsewhere/", "s3://bucket/", "zip://", "no-scheme/", "file://host/", "::"])
def test_a_long_uri_is_shortened_in_the_error(start: str) -> None:
    with pytest.raises(FeatureFileForbidden) as caught:
        FeatureRoots(["file:///srv/features", "s3://bucket/features"]).resolve(start + "x" * 100_000)
    assert start in caught.value.message
    assert len(caught.value.message) < 1_000


@given(st.text(max_size=60))
def test_no_text_resolves_to_a_path_outside_a_root(text: str) -> None:
    roots = FeatureRoots(["file:///srv/features", "memory://clips"])
    for uri in (text, f"file:///srv/features/{text}", f"memory://clips/{text}"):
        try:
            location = roots.resolve(uri)
        except FeatureFileForbidden:
            continue
        assert location.path.startswith({"file": "/srv/features/", "memory": "clips/"}[location.scheme])
        assert ".." not in location.path.split("/")


@pytest.mark.parametrize("root", ["/srv/features", "features", "file:features", "s3://"])
def test_a_root_that_is_not_an_absolute_uri_is_a_configuration_error(root: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FeatureRoots([root])
    assert caught.value.field == "feature_roots"


@pytest.mark.parametrize("root", ["s3://user:sesame@bucket/clips", "S3://:sesame@bucket", "file://user:sesame@/clips"])
def test_a_root_with_a_password_is_refused_without_showing_it(root: str) -> None:
    with pytest.raises(ConfigurationError, match=r"root 2 .*store_options") as caught:
        FeatureRoots(["file:///clips", root])
    assert "sesame" not in caught.value.message


def test_a_root_with_an_account_name_is_accepted() -> None:
    roots = FeatureRoots(["abfs://clips@account.dfs.core.windows.net/features"])
    assert roots.schemes == {"abfs"}
