import pytest

from ranking.pools.toml_places import Place, line_of

DOCUMENT = '''# a comment with = and [brackets]
version = "v = [1]"          # 2
text = """
[[tiers]]
gate = 1 """"
raw = \'\'\'
[caps]\'\'\'

[[tiers]]                    # 9
name = 'a # b'
limits = [                   # 11
  1, # one ]
  [2, 3],
  { low = 4, high = { of.all = 5 } },
]

  [[ tiers ]]                # 17
"name" = "b"
inner.gate = 1.5e-3          # 19
[tiers.inner.deep]
x = 2026-11-21 10:00:00Z     # 21

[nomination . "thresholds"]  # 23
fused = 80
"sce\\u006eic" = 90           # 25
[exploration]
share = 0.1
[[tiers]]
caps = { dancer = 0.1, challenge = 0.2 }
[[a.b]]
[[a.b]]
c = 0'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("version",), 2),
        (("text",), 3),
        (("raw",), 6),
        (("tiers",), 9),
        (("tiers", 0), 9),
        (("tiers", 0, "name"), 10),
        (("tiers", 0, "limits"), 11),
        (("tiers", 0, "limits", 0), 11),
        (("tiers", 0, "limits", 1, 1), 11),
        (("tiers", 0, "limits", 2, "low"), 11),
        (("tiers", 0, "limits", 2, "high", "of", "all"), 11),
        (("tiers", 1), 17),
        (("tiers", 1, "name"), 18),
        (("tiers", 1, "inner", "gate"), 19),
        (("tiers", 1, "inner", "deep"), 20),
        (("tiers", 1, "inner", "deep", "x"), 21),
        (("nomination",), 23),
        (("nomination", "thresholds", "fused"), 24),
        (("nomination", "thresholds", "scenic"), 25),
        (("exploration", "share"), 27),
        (("tiers", 2), 28),
        (("tiers", 2, "caps", "challenge"), 29),
        (("a", "b", 1, "c"), 32),
    ],
)
def test_every_key_has_the_line_on_which_its_statement_begins(place: Place, line: int) -> None:
    assert line_of(DOCUMENT, place) == line
    assert line_of(DOCUMENT.replace("\n", "\r\n"), place) == line


@pytest.mark.parametrize(
    ("place", "line"),
    [(("tiers", 1, "gate"), 17), (("exploration", "method"), 26), (("tiers", 0, "limits", 9), 11), (("caps",), 1)],
)
def test_what_is_missing_has_the_line_of_what_it_would_stand_in(place: Place, line: int) -> None:
    assert line_of(DOCUMENT, place) == line
