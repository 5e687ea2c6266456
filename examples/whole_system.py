"""The whole system in this process, with an embedded broker and SQLite: ``python examples/whole_system.py``.

``--serve`` keeps answering over HTTP; ask it with ``examples/ask_over_http.py``.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from synthetic_clips import upload_of

from dancerank import EmbeddedSystem, Processes, Settings, run_embedded
from exporters.prometheus import PrometheusObserver
from ranking import create_app
from schemas import Dimension
from transport import EmbeddedBroker


@contextmanager
def running(clips: int, observer: PrometheusObserver) -> Iterator[EmbeddedSystem]:
    """The system, with ``clips`` clips scored, ranked and retrievable."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as connection:
        settings = Settings(ranking={"database_url": f"sqlite:///{folder}/dancerank.db", "index_folder": folder})
        with run_embedded(Processes(settings, connection=connection, observer=observer)) as system:
            system.await_ready()
            system.send(map(upload_of, range(clips)))
            system.await_clips(clips)
            yield system


if __name__ == "__main__":
    observer = PrometheusObserver()
    with running(20, observer) as system:
        print(*system.service.ranking("renegade", Dimension.SKELETAL, k=3).entries, sep="\n")
        if "--serve" in sys.argv:
            uvicorn.run(create_app(system.service, observer.render), port=8080)
