"""Checks that every implementation of ``ModelRuntime`` passes, one function to a rule.

For a runtime of your own, in a test::

    @pytest.mark.parametrize("check", RUNTIME_CHECKS, ids=lambda check: check.__name__)
    def test_my_runtime(check):
        check(MyRuntime, read_bundle(folder), ("my-provider",))

Each check opens the runtime on a bundle of at least two streams with one of the named providers, and raises
``AssertionError`` saying which rule does not hold. Legend: N clips, T time steps, M streams of the fusion, P parts of
a temporal attention.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import product
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from schemas.bundle import Bundle
from schemas.errors import BundleError, ConfigurationError, DancerankError, InferenceFailed
from schemas.modalities import Modality
from schemas.ports import Bool, Float32, Int64, ModelRuntime, RuntimeFactory, StreamResult

E = TypeVar("E", bound=DancerankError)

TOLERANCE: Final = 1e-5
"""Greatest difference of a score or an attention weight, and of an embedding relative to its largest entry."""
LENGTHS: Final[Int64] = np.array([1, 30, 7, 75, 16])


def check_manifest_and_providers(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """It has the bundle's manifest, and names a provider for each stream and for the fusion."""
    with _opened(factory, bundle, providers) as runtime:
        _expect(runtime.manifest == bundle.manifest, "its manifest is not the bundle's")
        wanted = {*bundle.manifest.modalities, None}
        _expect(runtime.providers.keys() == wanted, f"it names providers for {[*runtime.providers]}, not for {wanted}")
        _expect(all(runtime.providers.values()), "the name of a provider is empty")


def check_shapes(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """Results have the shapes that the port says, in float32, for one clip and for several."""
    clips, manifest = len(LENGTHS), bundle.manifest
    with _opened(factory, bundle, providers) as runtime:
        for modality, lengths in product(manifest.modalities, (LENGTHS, LENGTHS[:1])):
            frames, stream = _frames(bundle, modality, lengths), manifest.stream(modality)
            found = runtime.run_stream(modality, frames, lengths)
            _expect_shape(f"embeddings of {modality}", found.embeddings, (len(lengths), stream.embedding_dim))
            _expect_shape(f"scores of {modality}", found.scores, (len(lengths),))
            if stream.attention and found.attention is not None:
                shape = (len(lengths), len(stream.attention), frames.shape[1])
                _expect_shape(f"temporal attention of {modality}", found.attention, shape)
            attended = found.attention is not None
            _expect(attended == bool(stream.attention), f"{modality}: temporal attention is there: {attended}")
        attention, fused = runtime.run_fusion(
            *_fusion_inputs(bundle, np.ones((clips, len(manifest.fused_streams)), bool))
        )
        _expect_shape("attention", attention, (clips, len(manifest.fused_streams)))
        _expect_shape("fused scores", fused, (clips,))


def check_numbers(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """Its numbers are those of ONNX Runtime on the CPU."""
    from streamer.runtimes.onnx_runtime import OnnxRuntime  # only this check needs ONNX Runtime

    with closing(OnnxRuntime(bundle)) as expected, _opened(factory, bundle, providers) as runtime:
        for modality in bundle.manifest.modalities:
            frames = _frames(bundle, modality, LENGTHS)
            _expect_equal(
                f"{modality}: it and ONNX Runtime",
                _outputs(runtime.run_stream(modality, frames, LENGTHS)),
                _outputs(expected.run_stream(modality, frames, LENGTHS)),
            )
        inputs = _fusion_inputs(bundle, _combinations(bundle))
        _expect_equal("fusion: it and ONNX Runtime", runtime.run_fusion(*inputs), expected.run_fusion(*inputs))


def check_a_clip_alone_and_in_a_batch(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """A clip's result does not depend on its batch, nor on what the array holds beyond the clip's length."""
    with _opened(factory, bundle, providers) as runtime:
        for modality in bundle.manifest.modalities:
            frames = _frames(bundle, modality, LENGTHS)
            together = _outputs(runtime.run_stream(modality, frames, LENGTHS))
            for row, length in enumerate(LENGTHS):
                alone = _outputs(runtime.run_stream(modality, frames[row : row + 1, :length], LENGTHS[row : row + 1]))
                in_batch = [array[row : row + 1] for array in together]
                beyond = [array[:, :, length:] for array in in_batch[2:]]
                _expect(not any(each.any() for each in beyond), f"{modality}: attention beyond a length is not zero")
                in_batch[2:] = [array[:, :, :length] for array in in_batch[2:]]
                _expect_equal(f"{modality}: a clip of {length} steps alone and in a batch", alone, in_batch)


def check_absent_modalities(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """The fusion gives absent modalities no attention, and shares all of it among those that are present."""
    present = _combinations(bundle)
    with _opened(factory, bundle, providers) as runtime:
        attention, _ = runtime.run_fusion(*_fusion_inputs(bundle, present))
    _expect(not attention[~present].any(), "an absent modality has attention")
    _expect(np.allclose(attention.sum(axis=1), 1, atol=TOLERANCE), "the attention of a clip does not sum to 1")


def check_arrays_stay_as_they_are(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """It writes neither to arrays that it was given nor, in a later run, to arrays that it has returned."""
    with _opened(factory, bundle, providers) as runtime:
        for modality in bundle.manifest.modalities:
            inputs = (_frames(bundle, modality, LENGTHS), LENGTHS.copy())
            others = (_frames(bundle, modality, LENGTHS, seed=1), LENGTHS)

            def outputs(*given: Any, of: Modality = modality) -> Sequence[Float32]:
                return _outputs(runtime.run_stream(of, *given))

            _expect_untouched(modality, outputs, inputs, others)
        present = _combinations(bundle)
        pairs = _fusion_inputs(bundle, present), _fusion_inputs(bundle, present, seed=1)
        _expect_untouched("fusion", runtime.run_fusion, *pairs)


def check_frames_in_float16(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """Of streams that it says to read in float16, it makes of such frames what it makes of the same in float32."""
    with _opened(factory, bundle, providers) as runtime:
        for modality in getattr(runtime, "reads_half", ()):
            half = _frames(bundle, modality, LENGTHS).astype(np.float16)
            found, expected = (
                _outputs(runtime.run_stream(modality, frames, LENGTHS)) for frames in (half, half.astype(np.float32))
            )
            _expect_equal(f"{modality}: in float16 and in float32", found, expected)


def check_threads_at_once(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """Several threads that call it at once get what one alone gets, of one stream and of several."""
    modalities = (*bundle.manifest.modalities, bundle.manifest.modalities[0])
    work = [(modality, _frames(bundle, modality, LENGTHS, seed=seed)) for seed, modality in enumerate(modalities)]
    with _opened(factory, bundle, providers) as runtime, ThreadPoolExecutor(len(work)) as threads:
        alone = [runtime.run_stream(modality, frames, LENGTHS) for modality, frames in work]
        running = [threads.submit(runtime.run_stream, modality, frames, LENGTHS) for modality, frames in work]
        for (modality, _), found, expected in zip(work, running, alone, strict=True):
            _expect_equal(f"{modality}: beside other threads and alone", _outputs(found.result()), _outputs(expected))


def check_wrong_input(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """Input that a graph cannot read raises ``InferenceFailed``; the runtime can be used afterwards."""
    with _opened(factory, bundle, providers) as runtime:
        for modality in bundle.manifest.modalities:
            wrong = partial(runtime.run_stream, modality, np.zeros(len(LENGTHS), np.float32), LENGTHS)
            _expect_error(InferenceFailed, f"{modality} with frames of one axis", wrong)
            runtime.run_stream(modality, _frames(bundle, modality, LENGTHS), LENGTHS)


def check_an_unknown_provider(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """A provider that is not known raises ``ConfigurationError`` with the field ``providers``."""
    for named in (("no-such-provider",), (*providers, "no-such-provider")):
        error = _expect_error(
            ConfigurationError, f"providers {named}", partial(factory, bundle, providers=named, threads=1)
        )
        _expect(error.field == "providers", f"the error for an unknown provider has the field {error.field!r}")


def check_graphs_that_do_not_fit(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """A file that is not a graph, or not the one that the manifest describes, raises ``BundleError`` naming it."""
    manifest = bundle.manifest
    file, fusion = manifest.streams[-1].file, manifest.fusion.file
    wider = msgspec.structs.replace(manifest.streams[-1], input_channels=manifest.streams[-1].input_channels + 1)
    cases = {
        "bytes that are not a graph": Bundle(manifest, {**bundle.graphs, file: b"not a graph"}),
        "a graph with other inputs": Bundle(manifest, {**bundle.graphs, file: bundle.graphs[fusion]}),
        "a graph of another number of channels": Bundle(
            msgspec.structs.replace(manifest, streams=(*manifest.streams[:-1], wider)), bundle.graphs
        ),
    }
    for what, wrong in cases.items():
        error = _expect_error(BundleError, what, partial(factory, wrong, providers=providers, threads=1))
        _expect(file in error.message, f"the error for {what} does not name {file}: {error.message}")


def check_closing(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> None:
    """Closing twice is allowed, and another runtime of the bundle works on."""
    with _opened(factory, bundle, providers) as other:
        runtime = factory(bundle, providers=providers, threads=1)
        runtime.close()
        try:
            runtime.close()
        except Exception as error:
            raise AssertionError("closing a second time fails") from error
        modality = bundle.manifest.modalities[0]
        other.run_stream(modality, _frames(bundle, modality, LENGTHS), LENGTHS)


Check = Callable[[RuntimeFactory, Bundle, Sequence[str]], None]

RUNTIME_CHECKS: Final[tuple[Check, ...]] = (
    check_manifest_and_providers,
    check_shapes,
    check_numbers,
    check_a_clip_alone_and_in_a_batch,
    check_absent_modalities,
    check_arrays_stay_as_they_are,
    check_frames_in_float16,
    check_threads_at_once,
    check_wrong_input,
    check_an_unknown_provider,
    check_graphs_that_do_not_fit,
    check_closing,
)


@contextmanager
def _opened(factory: RuntimeFactory, bundle: Bundle, providers: Sequence[str]) -> Iterator[ModelRuntime]:
    with closing(factory(bundle, providers=providers, threads=1)) as runtime:
        _expect(isinstance(runtime, ModelRuntime), f"{type(runtime).__name__} lacks a member of ModelRuntime")
        yield runtime


def _frames(bundle: Bundle, modality: Modality, lengths: Int64, *, seed: int = 0) -> Float32:
    """Clips (N, T, [V,] C) of these lengths, NaN beyond each."""
    frames = np.full((len(lengths), int(lengths.max()), *bundle.manifest.step_shape(modality)), np.nan, np.float32)
    generator = np.random.default_rng(seed)
    for row, length in enumerate(lengths):
        frames[row, :length] = generator.normal(1.0, 0.5, frames[row, :length].shape)
    return frames


def _outputs(result: StreamResult) -> list[Float32]:
    return [array for array in result if array is not None]


def _combinations(bundle: Bundle) -> Bool:
    """(N, M): every combination of modalities but none at all."""
    return np.array(list(product([False, True], repeat=len(bundle.manifest.fused_streams)))[1:])


def _fusion_inputs(bundle: Bundle, present: Bool, *, seed: int = 0) -> tuple[Float32, Float32, Bool]:
    generator = np.random.default_rng(seed)
    kept = np.repeat(present, [stream.embedding_dim for stream in bundle.manifest.fused_streams], axis=1)
    embeddings = np.where(kept, generator.normal(size=kept.shape), 0).astype(np.float32)
    return embeddings, np.where(present, generator.normal(size=present.shape), 0).astype(np.float32), present


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _expect_shape(what: str, array: Float32, shape: tuple[int, ...]) -> None:
    found = (getattr(array, "shape", None), getattr(array, "dtype", None))
    _expect(found == (shape, np.float32), f"{what} are {found}, expected {(shape, 'float32')}")


def _expect_equal(what: str, found: Sequence[Float32], expected: Sequence[Float32]) -> None:
    for one, other in zip(found, expected, strict=True):
        size = np.abs(other).max(axis=-1, keepdims=True).clip(min=1.0)
        difference = float(np.max(np.abs(one - other) / size))
        _expect(difference <= TOLERANCE, f"{what} differ by {difference:.2e}, the limit is {TOLERANCE:.0e}")


def _expect_untouched(
    what: str, run: Callable[..., Sequence[Float32]], inputs: Sequence[Any], others: Sequence[Any]
) -> None:
    copies = [array.copy() for array in inputs]
    results = run(*inputs)
    kept = [np.array(array) for array in results]
    run(*others)
    for name, arrays, before in (("its input", inputs, copies), ("an earlier result", results, kept)):
        same = all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(arrays, before, strict=True))
        _expect(same, f"{what}: a run writes to {name}")


def _expect_error(kind: type[E], what: str, act: Callable[[], object]) -> E:
    try:
        act()
    except kind as error:
        return error
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}, expected {kind.__name__}") from error
    raise AssertionError(f"{what}: no error, expected {kind.__name__}")
