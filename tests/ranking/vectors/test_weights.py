import pytest

from ranking.vectors.weights import parse_weights
from schemas.errors import QueryError
from schemas.modalities import Modality


def test_weights_are_pairs_of_modality_and_number() -> None:
    expected = {Modality.SKELETAL: 1.0, Modality.FACIAL: 0.5}
    assert parse_weights("skeletal:1,facial:0.5") == expected
    assert parse_weights(" skeletal , facial : .5 ") == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "''"), ("fused:1", "'fused'"), ("facial:x", "'x'"), ("facial:1,facial:2", "twice"), ("facial:1,", "''")],
)
def test_bad_weights_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(QueryError, match=says) as raised:
        parse_weights(text)
    assert raised.value.field == "weights"
