import pytest
from pydantic import ValidationError

from streamer.settings import StreamerSettings


def test_the_defaults_are_valid() -> None:
    StreamerSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_batch_clips", 0),
        ("max_batch_steps", -1),
        ("max_batch_wait_s", -0.1),
        ("length_ratio", 1.0),
        ("length_ratio", float("inf")),
        ("loader_threads", 0),
        ("commit_interval_s", float("nan")),
        ("uploads_topic", ""),
        ("scored_topic", "clips.uploaded"),
        ("providers", ()),
    ],
)
def test_a_value_that_cannot_work_names_its_setting(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        StreamerSettings(**{name: value})  # type: ignore[arg-type]
