"""The system with one modality more than dancerank has, in memory: ``python -m tests.modalities.added_system NAME``.

Scores clips with an untrained model of the scenic and the added modality, fills both views and prints what the HTTP API
answers, as JSON.
"""

import json
import sys
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

import torch

from exporters.onnx.export import export_bundle
from networks.model_config import ViralityModelConfig
from networks.virality_model import ViralityModel
from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app
from ranking.serving.service import RankingService
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.view import IndexView
from ranking.views.log_records import read_log
from ranking.views.loop import LoopOptions, ViewLoop
from schemas.bundle import read_bundle
from schemas.clock import SystemClock
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import RebalanceListener, RecordSource
from tests.clips import random_features, upload
from tests.ranking.serving.test_api import Client
from tests.ranking.views.loops import drain
from tests.streaming import SCORED, Log, process, quick_settings
from transport.memory import MemorySource

CLIPS = 4


def run(name: str, folder: Path) -> dict[str, object]:
    """What the API answers about ``CLIPS`` clips that have the modality ``name`` and ``silent``, which has not."""
    added = Modality(name)
    config = ViralityModelConfig(
        modalities=(Modality.SCENIC, added),
        appearance_network="segments",  # reads any width as RTCN does, and is traced in a tenth of the time
        temporal_width=1 / 64,
        fusion_width=1 / 8,
    )
    torch.manual_seed(0)
    export_bundle(ViralityModel(config), folder / "bundle", training_data="untrained", metrics={})
    log = Log()
    log.upload(
        *(
            upload(f"clip-{n}", random_features(3.0 + n, modalities=(Modality.SCENIC, added), seed=n))
            for n in range(CLIPS)
        ),
        upload("silent", random_features(4.0, modalities=(Modality.SCENIC,), seed=9)),
    )
    process(log, log.streamer(read_bundle(folder / "bundle"), quick_settings()), CLIPS + 1)

    def open_source(listener: RebalanceListener) -> RecordSource:
        return MemorySource(log.broker, [SCORED], group=None, listener=listener)

    clock, observer, quick = SystemClock(), Observer(), LoopOptions(poll_timeout_s=0.0, commits=False)
    read = partial(read_log, deletions_topic="clips.deleted")
    with closing(Database(f"sqlite:///{folder}/ranking.db")) as database:
        database.migrate()
        store, index = ScoreStore(database), IndexView(FaissBackend(), observer, clock)
        for view in (store, index):
            drain(ViewLoop(open_source, view, read, None, observer, clock, quick))
        client = Client(create_app(RankingService(store, index), lambda: ("text/plain", b"")))
        challenge = "/v1/challenges/challenge-1"
        paths = {
            "similar": f"/v1/clips/clip-0/similar?weights={name}:1",
            "ranking": f"{challenge}/rankings?by={name}",
            "attention": f"{challenge}/attention",
            "clip": "/v1/clips/clip-1",
            "silent": "/v1/clips/silent",
        }
        answers = {what: client.get(path).json() for what, path in paths.items()}
    return {**answers, "dead": log.dead()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        sys.stdout.write(json.dumps(run(sys.argv[1], Path(place))))
