import numpy as np
import pytest

from extraction.frames import Frame, VideoProperties
from extraction.holistic import open_holistic
from extraction.resizing import fitted
from extraction.streams import ExtractedStream, NotExtracted
from tests.extraction.made_networks import MadeNetwork, mean_colours

PROPERTIES = VideoProperties(64, 48, 4.0, 25.0, 0, 1.0, "a1" * 32)


def frames(count, start=0):
    rng = np.random.default_rng(start)
    return [Frame(start + i, (start + i) / 25, rng.integers(0, 256, (48, 64, 3), np.uint8)) for i in range(count)]


def test_every_frame_is_a_step_and_a_batch_runs_at_once():
    network = mean_colours()
    extractor = open_holistic(network)(PROPERTIES)
    made = [*frames(16), *frames(9, 16)]
    extractor.add(made[:16], [None] * 16)
    extractor.add(made[16:], [None] * 9)
    found = extractor.finish()
    assert isinstance(found, ExtractedStream)
    assert found.frames.shape == (25, 12)
    assert found.extractor == "colours/1 sha256:0123456789ab"
    assert network.batches == [16, 9]
    alone = network.run(fitted(made[20].image, 32, 32)[None])["features"]
    np.testing.assert_array_equal(found.frames[20], alone[0])


def test_a_video_without_frames_has_no_stream():
    assert open_holistic(mean_colours())(PROPERTIES).finish() == NotExtracted("no frame was decoded")


def test_a_network_without_features_is_refused():
    with pytest.raises(ValueError, match="boxes gives no features of a picture"):
        open_holistic(MadeNetwork("boxes", 32, lambda images: {}, {"boxes": (4,)}))


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(300, 300, 300, 300), (300, 400, 300, 400), (400, 300, 400, 300), (960, 540, 720, 540), (540, 960, 540, 720)],
)
def test_the_largest_part_between_3_4_and_4_3_is_squeezed_into_the_input(height, width, rows, columns):
    image = np.zeros((height, width, 3), np.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    image[top : top + rows, left : left + columns] = 200
    assert (fitted(image, 224, 224) == 200).all()
    image[top : top + rows // 2, left : left + columns // 2] = 10
    seen = fitted(image, 224, 224)
    assert (seen[:110, :110] == 10).all()
    assert (seen[114:] == 200).all()
