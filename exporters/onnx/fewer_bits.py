"""The calibrated profiles: streams in fewer bits, admitted by what is left of clips that did not calibrate them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from exporters.onnx.gate import fused, kept
from exporters.onnx.half_precision import in_float16
from exporters.onnx.quantisation import quantised
from exporters.onnx.running import Frames, Run, StreamOutputs, in_onnx_runtime, in_openvino, one_by_one
from networks.correlation import spearman
from networks.datasets import Features
from schemas.errors import BundleError
from schemas.export_profiles import LEAST_RECALL, LEAST_SPEARMAN, Precision, Profile, Server
from schemas.modalities import Modality

FEWEST_CLIPS: Final = 100
"""Clips with a modality, half of which calibrate and half of which check."""


class Calibration(NamedTuple):
    """Clips to calibrate on, and what is written of them into the manifest."""

    clips: Sequence[Features]
    source: str


class StreamForm(NamedTuple):
    """A stream as it is served: its graph, what it is computed in, whether its convolutions are in eight bits, how it
    runs, and whether the graph itself is in float16 (``narrow``)."""

    graph: bytes
    precision: Precision
    quantised: bool
    run: Run
    narrow: bool = False

    @property
    def smaller(self) -> bool:
        """Whether it has fewer bits than float32."""
        return self.narrow or self.quantised or self.precision is not Precision.FLOAT32


class Admitted(NamedTuple):
    """The form of each stream, what every form that was tried keeps, by name, and the length in steps of the longest
    clip of each stream in fewer bits."""

    streams: dict[Modality, StreamForm]
    reached: dict[str, float]
    longest: dict[Modality, int]


def server_of(profile: Profile, named: Server | None) -> Server:
    """The runtime that ``profile`` is exported for if it is ``named`` so. Raises ``BundleError`` if it lacks it."""
    if profile is Profile.FP16 and named is Server.OPENVINO:
        raise BundleError("fp16 is for ONNX Runtime on a GPU; export bf16 for openvino")
    if profile is Profile.BF16 and named is Server.ONNX_RUNTIME:
        raise BundleError("ONNX Runtime has no bfloat16 on the CPU; export bf16 for openvino, or with --profile fast")
    return named or (Server.OPENVINO if profile is Profile.BF16 else Server.ONNX_RUNTIME)


def as_they_are(graphs: Mapping[Modality, bytes]) -> dict[Modality, StreamForm]:
    """The streams in float32."""
    return {
        modality: StreamForm(graph, Precision.FLOAT32, False, in_onnx_runtime(graph))
        for modality, graph in graphs.items()
    }


def in_fewer_bits(
    graphs: Mapping[Modality, bytes], fusion: bytes, profile: Profile, calibration: Calibration, server: Server
) -> Admitted:
    """The streams' ``graphs`` in the smallest form of ``profile`` that keeps enough, each; else in float32.

    Every second clip calibrates, the others check. Raises ``BundleError`` for too few clips, if no stream may have
    fewer bits, or if the fused scores change order.
    """
    calibrating, checking = calibration.clips[::2], calibration.clips[1::2]
    streams, reached = as_they_are(graphs), dict[str, float]()
    reference, found = dict[Modality, StreamOutputs](), dict[Modality, StreamOutputs]()
    for modality, graph in graphs.items():
        _check_enough(calibration, modality)
        checked = _frames(checking, modality)
        reference[modality] = found[modality] = one_by_one(streams[modality].run, checked)
        for name, make in _forms(profile, server).items():
            form = make(graph, _frames(calibrating, modality))
            result = one_by_one(form.run, checked)
            keeps = kept(reference[modality], result)
            named = f"{modality} {name}"
            reached |= {f"{named} spearman": round(keeps.spearman, 5), f"{named} recall": round(keeps.recall, 4)}
            if keeps.enough:
                streams[modality], found[modality] = form, result
                break
    smaller = [modality for modality, form in streams.items() if form.smaller]
    if not smaller:
        raise BundleError(
            f"{calibration.source}: as {profile} no stream keeps a rank correlation of {LEAST_SPEARMAN} and a recall "
            f"of {LEAST_RECALL} ({_listed(reached)}); export with --profile fast"
        )
    order = spearman(fused(fusion, found, checking), fused(fusion, reference, checking))
    reached["fused spearman"] = round(order, 5)
    if order < LEAST_SPEARMAN:
        raise BundleError(
            f"{calibration.source}: as {profile} the fused scores keep a rank correlation of {order:.5f}, less than "
            f"{LEAST_SPEARMAN}; export with --profile {_next_best(profile, server)}"
        )
    longest = {modality: max(map(len, _frames(calibration.clips, modality))) for modality in smaller}
    return Admitted(streams, reached, longest)


def _forms(profile: Profile, server: Server) -> dict[str, Callable[[bytes, Sequence[Frames]], StreamForm]]:
    """The forms of a profile by name, smallest first."""
    if profile is Profile.FP16:
        return {"fp16": _fp16}
    if server is Server.ONNX_RUNTIME:
        return {"int8": _int8}
    return {"int8": _int8_and_bf16, "bf16": _bf16} if profile is Profile.INT8 else {"bf16": _bf16}


def _int8(graph: bytes, calibrating: Sequence[Frames]) -> StreamForm:
    made = quantised(graph, calibrating)
    return StreamForm(made, Precision.FLOAT32, True, in_onnx_runtime(made))


def _int8_and_bf16(graph: bytes, calibrating: Sequence[Frames]) -> StreamForm:
    """Convolutions in eight bits, and what is left in bfloat16."""
    made = quantised(graph, calibrating)
    return StreamForm(made, Precision.BFLOAT16, True, in_openvino(made, Precision.BFLOAT16))


def _bf16(graph: bytes, _calibrating: Sequence[Frames]) -> StreamForm:
    return StreamForm(graph, Precision.BFLOAT16, False, in_openvino(graph, Precision.BFLOAT16))


def _fp16(graph: bytes, _calibrating: Sequence[Frames]) -> StreamForm:
    """Weights, activations and frames in float16. Checked on the CPU, which computes it in float32 between roundings
    to float16; the gate at load checks the GPU."""
    made = in_float16(graph)
    return StreamForm(made, Precision.FLOAT32, False, in_onnx_runtime(made), narrow=True)


def _next_best(profile: Profile, server: Server) -> Profile:
    return Profile.BF16 if (profile, server) == (Profile.INT8, Server.OPENVINO) else Profile.FAST


def _check_enough(calibration: Calibration, modality: Modality) -> None:
    having = sum(modality in clip for clip in calibration.clips)
    if having < FEWEST_CLIPS:
        raise BundleError(
            f"{calibration.source}: {having} clips have {modality}, and calibration takes at least {FEWEST_CLIPS}; "
            "give it more, or export with --profile fast"
        )


def _frames(clips: Sequence[Features], modality: Modality) -> list[Frames]:
    return [clip[modality] for clip in clips if modality in clip]


def _listed(reached: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in reached.items())
