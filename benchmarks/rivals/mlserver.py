"""MLServer's custom runtime around the same graphs, for ``benchmarks.race``; ``mlserver start FOLDER`` imports it.

Requests name a feature file each. Adaptive batching joins those that come within ``max_batch_time`` of each other, as
MLServer's documentation describes it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.rivals.kafka_loops import Model


class Clips(MLModel):  # type: ignore[misc, unused-ignore]
    """Answers with ``fused_score`` (N, 1) and ``embeddings`` (N, sum of D)."""

    async def load(self) -> bool:
        self._model = Model(Path(self.settings.parameters.extra["bundle"]))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        results: list[dict[str, Any]] = self._model.score(StringCodec.decode_input(payload.inputs[0]))
        widths = {name: width for name, _, width in self._model.streams}
        embeddings = np.zeros((len(results), sum(widths.values())), np.float32)
        for row, result in zip(embeddings, results, strict=True):
            start = 0
            for name, width in widths.items():
                if name in result["modalities"]:
                    row[start : start + width] = np.frombuffer(result["modalities"][name]["embedding"], "<f2")
                start += width
        fused = np.array([[result["fused_score"]] for result in results], np.float32)
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            outputs=[
                NumpyCodec.encode_output("fused_score", fused),
                NumpyCodec.encode_output("embeddings", embeddings),
            ],
        )
