"""What ``dancerank doctor`` prints in a terminal of any width: no name is broken, and every warning has a remedy."""

from io import StringIO

import pytest
from rich.console import Console

from dancerank.commands.doctor import _table
from dancerank.doctor.databases import examine_database
from dancerank.doctor.findings import Level, error, ok, warning
from dancerank.doctor.topics import examine_topics
from dancerank.settings import Settings
from ranking.database.server_description import ServerDescription

FINDINGS = [
    ok("group dancerank-streamer-of-the-north", "has 3 members"),
    warning(
        "topic dancerank.production.clips.uploaded.dead-letter",
        "acknowledges records that one of 3 replicas has (min.insync.replicas=1)",
        "set min.insync.replicas=2",
    ),
    error(
        "topic clips.scored",
        "may lose acknowledged records: a replica that lacks them may be elected (unclean.leader.election.enable=true)",
        "set unclean.leader.election.enable=false",
    ),
]


@pytest.mark.parametrize("columns", [80, 100, 250])
def test_every_name_is_whole_in_a_terminal_of_any_width(columns: int) -> None:
    written = StringIO()
    Console(width=columns, file=written).print(_table(FINDINGS))
    lines = written.getvalue().splitlines()
    words = {word for each in FINDINGS for word in f"{each.where} {each.what} {each.remedy}".split()}
    assert words <= {word for line in lines for word in line.split()}
    assert max(map(len, lines)) <= columns
    assert "1 errors, 1 warnings, 1 in order" in " ".join(lines)


def test_what_is_wrong_has_a_remedy_that_is_an_act() -> None:
    settings = Settings()
    findings = list(examine_topics(settings, {}, {}))
    for revision in (None, "1"):
        server = ServerDescription(dialect="sqlite", clock_ms=0, revision=revision, head="2", known=True)
        findings += examine_database(settings, "sqlite:///x.db", server, 0)
    wrong = [each for each in findings if each.level is not Level.OK]
    assert wrong
    assert all(each.remedy and not each.remedy.startswith("nothing") for each in wrong)
