"""What each graph of a bundle costs: all that a clip runs through, with inputs that the graphs take."""

from pathlib import Path

from benchmarks.streams import graphs_of, peak_bytes, run
from schemas.bundle import read_bundle
from tests.small_bundle import write_small_bundle


def test_each_graph_runs_on_batches_of_every_size_and_memory_is_counted(tmp_path: Path) -> None:
    bundle = read_bundle(write_small_bundle(tmp_path / "bundle"))
    graphs = graphs_of(bundle, [1, 3], seconds=2.0, routine_seconds=64.0)
    assert [graph.name for graph in graphs] == [*(stream.modality for stream in bundle.manifest.streams), "fusion"]
    for graph in graphs:
        memory_bytes, ms = run(graph.content, graph.batches, 1, 1)
        assert memory_bytes >= 0
        assert [*ms] == [1, 3]
        assert min(ms.values()) > 0
    assert peak_bytes(reset=True) > 1 << 20
