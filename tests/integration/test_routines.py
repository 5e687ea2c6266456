"""Short clips and routines in one challenge, on the embedded broker: streamed, ranked, found, nominated and deleted."""

import time
from pathlib import Path

import numpy as np
import pytest

from dancerank import policies
from dancerank.processes import Processes
from dancerank.running.embedded import EmbeddedSystem, run_embedded
from dancerank.settings import Settings
from exporters.prometheus import PrometheusObserver
from schemas.bundle import Bundle
from schemas.codec import encode
from schemas.errors import MomentsMissing, NotFound
from schemas.events import ClipDeleted, ClipScored, ClipUploadedV3, InlineFeatures, TemporalAttention, embedding_array
from schemas.features import ClipFeatures, encode_features
from schemas.modalities import FUSED_MODALITIES, Dimension, Modality
from schemas.moments import moments_of
from schemas.ports import OutgoingRecord
from schemas.questions.retrieval import SimilarQuery
from streamer.assembly import open_scorer
from tests.clips import random_features
from tests.small_bundle import small_bundle
from tests.waiting import wait_until
from transport.embedded import EmbeddedBroker

SHORT, ROUTINES = 6, 5


def policy(folder: Path) -> Path:
    """Nominates the better half of the routines, and no clip by anything else."""
    text = (Path(policies.__file__).parent / "four-tiers.toml").read_text()
    head, _, rest = text.partition("[nomination]")
    later = rest[rest.index("[exploration]") :]
    path = folder / "policy.toml"
    nomination = "[nomination]\nfewest_clips = 2\n[nomination.thresholds]\nroutine = 50\n"
    path.write_text(head.replace("four-tiers-2", "routines-1") + nomination + later)
    return path


def uploads() -> list[tuple[ClipUploadedV3, ClipFeatures]]:
    made = []
    now_ms = int(time.time() * 1000)
    for number in range(SHORT + ROUTINES):
        is_routine = number >= SHORT
        clip_id, duration_s = (f"routine-{number}", 61.0 + number) if is_routine else (f"short-{number}", 4.0)
        modalities = (Modality.ROUTINE,) if is_routine else FUSED_MODALITIES
        features = random_features(duration_s, modalities=modalities, seed=number)
        source = InlineFeatures(encode_features(features))
        event = ClipUploadedV3(clip_id, f"dancer-{number % 4}", "mixed", now_ms, duration_s, source)
        made.append((event, features))
    return made


def expected_of(bundle: Bundle) -> dict[str, ClipScored]:
    """What the bundle makes of each clip, scored alone."""
    scorer = open_scorer(bundle)
    found = {}
    for event, features in uploads():
        (clip,) = scorer.score([(event, features)])
        assert isinstance(clip, ClipScored)
        found[event.clip_id] = clip
    return found


@pytest.mark.slow
def test_routines_are_ranked_found_nominated_and_deleted_beside_short_clips(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle", modalities=(*FUSED_MODALITIES, Modality.ROUTINE))
    expected, observer = expected_of(bundle), PrometheusObserver()
    settings = Settings.model_validate(
        {
            "streamer": {"tuning_s": 0},
            "ranking": {"database_url": f"sqlite:///{tmp_path / 'view.db'}", "index_folder": tmp_path / "index"},
            "pools": {"policy": policy(tmp_path), "round_interval_s": 0.2},
        }
    )
    with EmbeddedBroker() as connection:
        processes = Processes(settings, connection=connection, bundle=bundle, observer=observer)
        with run_embedded(processes, with_pools=True) as system:
            system.await_ready()
            system.send(event for event, _ in uploads())
            system.await_clips(SHORT + ROUTINES)
            check_rankings(system, expected)
            check_moments(system, expected)
            check_similar(system, expected)
            decisions = {each.clip_id: each for each in system.await_decisions(SHORT + ROUTINES) if each.number == 0}
            by_routine = {name for name, each in decisions.items() if each.decided_by is Dimension.ROUTINE}
            assert system.service.ranking("mixed", Dimension.ROUTINE).entries[0].clip_id in by_routine
            assert all(name.startswith("routine-") for name in by_routine)
            assert {each.decided_by for name, each in decisions.items() if name not in by_routine} == {None}
            check_deleted(system, f"routine-{SHORT}")
    text = observer.render()[1].decode()
    assert 'modality="routine"' in text


def check_rankings(system: EmbeddedSystem, expected: dict[str, ClipScored]) -> None:
    for dimension in Dimension:
        scores = {name: clip.scores()[dimension] for name, clip in expected.items() if dimension in clip.scores()}
        answer = system.service.ranking("mixed", dimension, k=100)
        assert {entry.clip_id for entry in answer.entries} == set(scores)
        ranked = sorted(scores, key=lambda name: -scores[name])
        assert [entry.clip_id for entry in answer.entries] == ranked
        assert answer.clips == len(scores)
    clip = system.service.clip(f"routine-{SHORT}", window="1h")
    assert (clip.duration_s, clip.missing, clip.attention) == (61.0 + SHORT, [], {Modality.ROUTINE: 1.0})
    assert clip.places.keys() == {Dimension.ROUTINE, Dimension.FUSED}
    attention = system.service.attention("mixed")
    assert (attention.present[Modality.ROUTINE], attention.mean_attention[Modality.ROUTINE]) == (ROUTINES, 1.0)


def check_moments(system: EmbeddedSystem, expected: dict[str, ClipScored]) -> None:
    for name, clip in expected.items():
        if name.startswith("routine"):
            held: TemporalAttention = clip.temporal_attention  # type: ignore[attr-defined]
            assert system.service.moments(name).weights == moments_of(held).weights
        else:
            with pytest.raises(MomentsMissing):
                system.service.moments(name)


def check_similar(system: EmbeddedSystem, expected: dict[str, ClipScored]) -> None:
    """A routine finds the other routines, by its own modality alone; a short clip finds none of them first."""
    vectors = {
        name: embedding_array(clip.modalities[Modality.ROUTINE]).astype(np.float64)
        for name, clip in expected.items()
        if Modality.ROUTINE in clip.modalities
    }
    example = f"routine-{SHORT}"
    for weights in ({Modality.ROUTINE: 1.0}, dict.fromkeys(Modality, 1.0)):
        answer = system.service.similar(SimilarQuery(clip_id=example, weights=weights, include_own=True, k=20))
        assert answer.weights == {Modality.ROUTINE: 1.0}
        cosines = {
            name: float(one @ vectors[example] / np.linalg.norm(one) / np.linalg.norm(vectors[example]))
            for name, one in vectors.items()
            if name != example
        }
        hits = [hit for hit in answer.hits if hit.similarities]
        assert [hit.clip_id for hit in hits] == sorted(cosines, key=lambda name: -cosines[name])
        assert [hit.similarity for hit in hits] == pytest.approx(sorted(cosines.values(), reverse=True), abs=1e-4)
    of_dancer = system.service.similar(SimilarQuery(dancer_id="dancer-2", k=20))
    assert Modality.ROUTINE in of_dancer.weights


def check_deleted(system: EmbeddedSystem, clip_id: str) -> None:
    removal = encode(ClipDeleted(clip_id=clip_id, reason="asked for"))
    system.uploads.send(OutgoingRecord(system.settings.ranking.deletions_topic, clip_id.encode(), removal))
    system.uploads.flush(10.0)

    def is_gone() -> bool:
        system.raise_failures()
        held = sum(system.replica.store.generations().values()), system.replica.index.clips()
        return held == (SHORT + ROUTINES - 1, SHORT + ROUTINES - 1)

    wait_until(is_gone, what="the deletion in both views")
    for ask in (system.service.moments, system.service.clip):
        with pytest.raises(NotFound):
            ask(clip_id)
    ranked = system.service.ranking("mixed", Dimension.ROUTINE).entries
    assert clip_id not in {entry.clip_id for entry in ranked}
    assert len(ranked) == ROUTINES - 1
