"""Networks that see pictures, made of a function."""

from extraction.models.manifest import ModelManifest, Preparation


class MadeNetwork:
    """``outputs`` makes the outputs by name of (N, H, W, 3) pictures; ``batches`` holds the sizes of those that ran."""

    def __init__(self, name, side, outputs, shapes, feature=None):
        self.manifest = ModelManifest(
            name=name,
            version="1",
            purpose="tests",
            height=side,
            width=side,
            preparation=Preparation(),
            outputs=shapes,
            licence="MIT",
            sources=(),
            sha256="0123456789abcdef" * 4,
            feature=feature,
        )
        self._outputs = outputs
        self.batches = []

    def run(self, images):
        assert images.dtype == "uint8"
        assert images.shape[1:] == (self.manifest.height, self.manifest.width, 3)
        self.batches.append(len(images))
        return self._outputs(images)


def mean_colours(name="colours", side=32):
    """Its features are the mean colours of four parts of a picture, 12 in all."""

    def outputs(images):
        half = side // 2
        parts = images.reshape(len(images), 2, half, 2, half, 3).mean(axis=(2, 4))
        return {"features": parts.reshape(len(images), -1).astype("float32"), "other": images[:, :1, 0, 0]}

    return MadeNetwork(name, side, outputs, {"features": (12,), "other": (1,)}, feature="features")
