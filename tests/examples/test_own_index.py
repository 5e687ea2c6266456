"""The example of an index of one's own passes the checks of the port, and answers once the setting names it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dancerank.processes import Processes
from dancerank.settings import Settings
from examples.own_index import Float16Backend
from ranking.vectors.backends.contract import INDEX_CHECKS
from ranking.vectors.backends.port import IndexBackend
from schemas.modalities import Modality
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.examples import apply, result, scored_clip


@pytest.mark.parametrize("check", INDEX_CHECKS, ids=lambda check: check.__name__)
def test_the_example_passes_the_checks_of_the_port(check: Callable[[IndexBackend], None]) -> None:
    check(Float16Backend())


def test_the_setting_names_it_and_its_answers_are_approximate(tmp_path: Path) -> None:
    ranking = {"index": "examples.own_index:Float16Backend", "index_folder": tmp_path}
    processes = Processes(Settings(ranking=ranking))  # type: ignore[arg-type]
    index = processes.open_index()
    embeddings = {"a": [1.0, 0.0], "b": [0.6, 0.8], "c": [0.8, 0.6]}
    apply(index, [scored_clip(name, modalities={Modality.SKELETAL: result(row)}) for name, row in embeddings.items()])
    index.save(tmp_path)
    for view in (index, processes.open_index()):
        answer = view.similar(SimilarQuery(clip_id="a"))
        assert answer.approximate
        assert {hit.clip_id: hit.similarity for hit in answer.hits} == pytest.approx({"c": 0.8, "b": 0.6}, abs=1e-3)
        assert [hit.clip_id for hit in answer.hits] == ["c", "b"]
