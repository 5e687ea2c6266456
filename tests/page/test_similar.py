"""The page "Who dances like this?": what is asked for stands in the address, and hits are those of the service."""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Final
from urllib.parse import quote

import msgspec
import numpy as np
import pytest
from playwright.sync_api import Locator, Request, Route, expect

from schemas.errors import FeatureFileCorrupt
from schemas.events import ClipScoredV3, FeatureSource
from schemas.modalities import FUSED_MODALITIES, Dimension, Modality
from schemas.questions.feedback import Guided, Skeleton
from schemas.questions.retrieval import Example, SimilarQuery
from schemas.questions.scoring import FileKind, ScoringOffer, UnseenClip
from schemas.questions.styles import StyleCount
from tests.page.dances import answered, guidance, skeleton
from tests.page.lived import ODD, SHOWN, live, lived_system
from tests.page.systems import SmallSystem, serving, some_clips
from tests.page.visits import LOOKS, Visit
from tests.waiting import wait_until

Visits = Callable[..., Visit]
ALIKE: Final = dict.fromkeys(Modality, 1.0)


class Scores:
    """Takes every file for the clip that is shown; of ten bytes it is corrupt, of eleven of another generation."""

    def __init__(self) -> None:
        self.kinds: list[FileKind] = []

    def offer(self) -> ScoringOffer:
        return ScoringOffer(True, "g1", True, 1000)

    def generation(self) -> str:
        return "g1"

    def score(self, source: FeatureSource, duration_s: float | None, movement: bool = False) -> UnseenClip:
        raise AssertionError("the page sends files only")

    def begin_file(self, kind: FileKind) -> "Place":
        self.kinds.append(kind)
        return Place(self)

    def score_open(self, descriptor: int) -> UnseenClip:
        size = os.fstat(descriptor).st_size
        if size == 10:
            raise FeatureFileCorrupt("the header is cut off; send the file again", field="features")
        shown = next(clip for clip in some_clips() if clip.clip_id == SHOWN)
        embeddings = {m: _floats(each.embedding) for m, each in shown.modalities.items()}
        attention = {m: each.attention for m, each in shown.modalities.items()}
        danced, guided = skeleton(SHOWN), guidance(SHOWN)
        return UnseenClip(
            *("g2" if size == 11 else "g1", 4.0, shown.scores(), attention, (), embeddings, 2.5),
            skeleton=Skeleton(**{each.name: danced[each.name] for each in fields(Skeleton)}),
            guidance=Guided(**{each.name: guided[each.name] for each in fields(Guided)}),
        )


class Place:
    """The place of one file."""

    def __init__(self, scores: Scores) -> None:
        self._scores = scores

    def score(self, descriptor: int, duration_s: float | None, movement: bool = False) -> UnseenClip:
        assert movement
        return self._scores.score_open(descriptor)

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture(scope="module")
def lived() -> Iterator[SmallSystem]:
    with lived_system() as system:
        live(system)
        yield system


@pytest.fixture(scope="module")
def scores() -> Scores:
    return Scores()


@pytest.fixture(scope="module")
def url(lived: SmallSystem, scores: Scores) -> Iterator[str]:
    with serving(lived.app(scoring=scores)) as address:
        yield address


@pytest.fixture
def search(visit: Visits, url: str) -> Callable[..., Visit]:
    """Opens the page: ``search("clip=clip-003")``."""

    def start(query: str = f"clip={SHOWN}", **options: object) -> Visit:
        seen = visit(url, "#/none", **options)
        answered(seen.page, without=["clip-010"])
        seen.open(f"#/similar?{query}")
        seen.heading("Who dances like this?")
        return seen

    return start


def hits(seen: Visit) -> Locator:
    return seen.page.get_by_role("list", name="Similar clips").locator("> li")


def shows(seen: Visit, lived: SmallSystem, query: SimilarQuery, generation: str | None = None) -> None:
    """Waits until the hits are those of the service."""
    found = lived.service.similar(query, generation=generation).hits
    expect(hits(seen).locator(".who a")).to_have_text([hit.clip_id for hit in found])
    expect(hits(seen).first.locator(".who .number")).to_contain_text(f"{found[0].similarity:.3g}")


def offers(seen: Visit, styles: Sequence[StyleCount]) -> None:
    """Waits until these are the styles to choose from, each with its clips; without any there is no choice."""
    options = seen.page.get_by_label("Dance style").locator("option")
    found = [f"{each.style} ({each.clips} clips)" for each in styles]
    expect(options).to_have_text(["any, or none", *found] if found else [])


def asked(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.post_data or "{}")
    return body


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=lambda each: each if isinstance(each, str) else f"{each[0]}px")
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    search: Callable[..., Visit], theme: str, size: tuple[int, int]
) -> None:
    seen = search(f"clip={SHOWN}&unlike={quote(json.dumps(['clip-006']))}", theme=theme, size=size)
    seen.page.get_by_label("or choose one").set_input_files({"name": "x.mp4", "mimeType": "video/mp4", "buffer": b"1"})
    seen.shows("is the example")
    expect(hits(seen).first).to_be_visible()
    assert seen.violations() == []
    assert not seen.is_wider_than_the_window()
    seen.take("404")


def test_weights_are_set_by_keyboard_asked_for_once_and_kept_in_the_address(
    search: Callable[..., Visit], lived: SmallSystem
) -> None:
    seen = search()
    shows(seen, lived, SimilarQuery(clip_id=SHOWN, k=12))
    requests: list[dict[str, Any]] = []
    seen.page.on("request", lambda each: requests.append(asked(each)) if each.url.endswith("/v1/similar") else None)
    slider = seen.page.get_by_role("slider", name="Scenic")
    slider.focus()
    for _ in range(15):
        seen.page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", "−0.5, unlike")
    weights = ALIKE | {Modality.SCENIC: -0.5}
    shows(seen, lived, SimilarQuery(clip_id=SHOWN, weights=weights, k=12))
    assert [each["weights"] for each in requests] == [weights]
    seen.page.reload()
    expect(slider).to_have_attribute("aria-valuetext", "−0.5, unlike")
    shows(seen, lived, SimilarQuery(clip_id=SHOWN, weights=weights, k=12))
    seen.page.get_by_role("button", name="Reset the weights").click()
    shows(seen, lived, SimilarQuery(clip_id=SHOWN, k=12))
    assert seen.page.url.endswith(f"#/similar?clip={SHOWN}")
    for slider in seen.page.get_by_role("slider").all():
        slider.fill("0")
    seen.shows("Every weight is 0")
    assert seen.page.get_by_role("slider").count() == len(FUSED_MODALITIES)
    assert seen.page.url.endswith("&weights=skeletal%3A0%2Cholistic%3A0%2Cfacial%3A0%2Cscenic%3A0")
    seen.take("404")


def test_filters_narrow_the_hits_and_pages_follow_each_other(search: Callable[..., Visit], lived: SmallSystem) -> None:
    seen = search(f"clip={SHOWN}&group=dancer")
    shows(seen, lived, SimilarQuery(clip_id=SHOWN, group_by="dancer", k=12))
    seen.page.get_by_label("The best clip of each dancer only").uncheck()
    first = lived.service.similar(SimilarQuery(clip_id=SHOWN, k=12))
    second = lived.service.similar(SimilarQuery(clip_id=SHOWN, k=12, cursor=first.next_cursor))
    shows(seen, lived, SimilarQuery(clip_id=SHOWN, k=12))
    seen.page.get_by_role("button", name="More hits").click()
    expect(hits(seen).locator(".who a")).to_have_text([hit.clip_id for hit in (*first.hits, *second.hits)])
    seen.page.get_by_label("Challenge").fill("challenge-2")
    shows(seen, lived, SimilarQuery(clip_id=SHOWN, challenge_id="challenge-2", k=12))
    of_challenge, of_all = (lived.service.styles(challenge).styles for challenge in ("challenge-2", None))
    assert of_challenge != of_all
    offers(seen, of_challenge)
    seen.page.get_by_label("Lowest percentile").fill("50")
    narrow = SimilarQuery(
        clip_id=SHOWN, challenge_id="challenge-2", percentile_from=50, percentile_by=Dimension.FUSED, k=12
    )
    shows(seen, lived, narrow)
    assert "challenge=challenge-2&low=50" in seen.page.url
    seen.page.get_by_label("Challenge").fill("")
    seen.page.get_by_label("Lowest percentile").fill("0")
    offers(seen, of_all)
    seen.page.get_by_label("Dance style").select_option("waltz")
    shows(seen, lived, SimilarQuery(clip_id=SHOWN, style="waltz", k=12))
    seen.page.get_by_label("Tier").select_option("t1")
    seen.shows("No clip passes these filters")
    seen.take("404")


def test_more_and_not_like_this_change_what_is_asked_for(search: Callable[..., Visit], lived: SmallSystem) -> None:
    seen = search()
    found = lived.service.similar(SimilarQuery(clip_id=SHOWN, k=12)).hits
    liked, unliked = found[0].clip_id, found[1].clip_id
    seen.page.get_by_role("button", name=f"More like this: {liked}").click()
    examples = [Example(clip_id=SHOWN), Example(clip_id=liked)]
    shows(seen, lived, SimilarQuery(like=examples, k=12))
    seen.page.get_by_role("button", name=f"Not like this: {unliked}").click()
    shows(seen, lived, SimilarQuery(like=examples, unlike=[Example(clip_id=unliked)], k=12))
    seen.page.get_by_role("button", name=f"Remove {liked}").click()
    shows(seen, lived, SimilarQuery(clip_id=SHOWN, unlike=[Example(clip_id=unliked)], k=12))
    seen.page.get_by_label("Kind").select_option("dancer")
    seen.page.get_by_label("Id", exact=True).fill("dancer-4")
    seen.page.get_by_role("button", name="Search").click()
    shows(seen, lived, SimilarQuery(dancer_id="dancer-4", unlike=[Example(clip_id=unliked)], k=12))
    seen.take("404")


def test_a_hit_shows_its_skeleton_and_in_what_it_is_alike(search: Callable[..., Visit], lived: SmallSystem) -> None:
    seen = search("clip=clip-000")
    found = lived.service.similar(SimilarQuery(clip_id="clip-000", k=12)).hits
    for hit in found:
        card = hits(seen).filter(has=seen.page.get_by_role("link", name=hit.clip_id, exact=True))
        card.scroll_into_view_if_needed()
        if hit.clip_id == "clip-010":
            expect(card.locator(".picture")).to_contain_text("not kept")
        else:
            expect(card.get_by_role("img", name=f"Skeleton of {hit.clip_id}")).to_be_visible()
        for modality, cosine in hit.similarities.items():
            assert re.search(
                rf"{modality.capitalize()}\s+{cosine:.2f}".replace("-0.00", "0.00").replace("-", "−"), card.inner_text()
            )
    seen.take("404")


def test_a_file_is_dropped_scored_and_compared(
    search: Callable[..., Visit], lived: SmallSystem, scores: Scores
) -> None:
    seen = search("")
    seen.shows("Name a clip or a dancer")
    seen.shows("keeps nothing of it")
    seen.page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["features"], "<b>mine</b>.safetensors"));
          for (const name of ["dragover", "drop"]) {
            document.body.dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));
          }
        }"""
    )
    seen.shows("<b>mine</b>.safetensors")
    expect(hits(seen).first.locator(".who")).to_have_text(re.compile(rf"{SHOWN}.*1\.000$"))
    assert scores.kinds[-1] == "features"
    assert "Outside the training distribution" in seen.page.get_by_role("note").inner_text()
    player = seen.page.get_by_role("group", name="Moving skeleton: <b>mine</b>.safetensors")
    seen.page.get_by_role("list", name="Critical moments").get_by_role("button").nth(1).click()
    expect(player.get_by_label("Position")).to_have_attribute("aria-valuetext", "0.60 seconds, frame 16 of 50")
    field = seen.page.get_by_label("or choose one")
    field.set_input_files({"name": "dance.MOV", "mimeType": "", "buffer": b"1"})
    seen.shows("dance.MOV")
    wait_until(lambda: scores.kinds[-1] == "video", lambda: seen.page.wait_for_timeout(20))
    problem = seen.page.get_by_role("alert")
    for name, size, said in (
        ("notes.txt", 5, "is neither a video nor a feature file"),
        ("long.mp4", 1001, "has 1,001 bytes; at most 1 kB are taken"),
        ("empty.mp4", 0, "“empty.mp4” is empty"),
        ("cut.safetensors", 10, "“cut.safetensors”: the header is cut off"),
    ):
        field.set_input_files({"name": name, "mimeType": "", "buffer": b"x" * size})
        expect(problem).to_contain_text(said)
        expect(problem).to_contain_text("Choose another file.")
    field.set_input_files({"name": "other.safetensors", "mimeType": "", "buffer": b"x" * 11})
    expect(seen.page.locator(".empty").last).to_contain_text("nothing to compare with")
    expect(problem).to_have_count(0)
    seen.page.get_by_role("button", name="Remove it").click()
    seen.shows("Name a clip or a dancer")
    seen.take("422")


def test_a_video_is_watched_for_as_long_as_it_takes_and_the_one_that_is_dropped_last_counts(
    search: Callable[..., Visit], scores: Scores
) -> None:
    seen = search("")
    field, progress = seen.page.get_by_label("or choose one"), seen.page.locator(".sending").get_by_role("status")
    held: list[Route] = []
    seen.page.route(re.compile("/v1/score/file"), lambda route: held.append(route), times=1)
    field.set_input_files({"name": "first.mp4", "mimeType": "video/mp4", "buffer": b"1"})
    expect(progress).to_have_text(re.compile("^(Sending|Watching and scoring) first.mp4…$"))
    wait_until(lambda: held, lambda: seen.page.wait_for_timeout(20))
    field.set_input_files({"name": "second.mp4", "mimeType": "video/mp4", "buffer": b"1"})
    seen.shows("is the example")
    expect(seen.page.locator(".drop .result")).to_contain_text("second.mp4")
    assert held[0].request.failure == "net::ERR_ABORTED"
    seen.page.route(re.compile("/v1/score/file"), lambda route: held.append(route), times=1)
    field.set_input_files({"name": "third.mp4", "mimeType": "video/mp4", "buffer": b"1"})
    wait_until(lambda: len(held) == 2, lambda: seen.page.wait_for_timeout(20))
    seen.page.get_by_role("button", name="Stop").click()
    expect(progress).to_have_count(0)
    problem = seen.page.locator(".drop").get_by_role("alert")
    seen.page.evaluate(
        """() => {
          const data = new DataTransfer();
          for (const name of ["a.mp4", "b.mp4"]) data.items.add(new File(["1"], name, { type: "video/mp4" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    expect(problem).to_contain_text("2 files were dropped; drop one at a time.")
    taken = {"error": {"code": "too_many_at_once", "message": "3 videos are being answered", "parameter": None}}
    seen.page.route(
        re.compile("/v1/score/file"),
        lambda route: route.fulfill(status=503, json=taken, headers={"Retry-After": "1"}),
        times=1,
    )
    field.set_input_files({"name": "fourth.mp4", "mimeType": "video/mp4", "buffer": b"1"})
    expect(problem).to_contain_text("3 videos are being answered")
    expect(problem).to_contain_text("Others have their turn first.")
    seen.page.get_by_role("button", name="Try again").click()
    expect(seen.page.locator(".drop .result")).to_contain_text("fourth.mp4")
    expect(problem).to_have_count(0)
    seen.take("404")
    seen.take("503")


def test_a_file_is_compared_with_clips_of_which_none_is_ranked(visit: Visits, scores: Scores) -> None:
    outside = [ClipScoredV3(**(msgspec.structs.asdict(clip) | {"training_distance": 3.5})) for clip in some_clips()]
    with SmallSystem(outside) as system, serving(system.app(scoring=scores)) as url:
        seen = visit(url, "#/similar")
        seen.page.get_by_label("or choose one").set_input_files(
            {"name": "mine.mp4", "mimeType": "video/mp4", "buffer": b"1"}
        )
        expect(hits(seen).first.locator(".who")).to_have_text(re.compile(rf"{SHOWN}.*1\.000$"))
        seen.shows("No clip of this generation is ranked, so it has no percentile")
        seen.page.goto("about:blank")
        seen.take("404")
        seen.take("503")  # nothing has decided about tiers


def test_without_scoring_a_sentence_says_why(visit: Visits, small_url: str) -> None:
    seen = visit(small_url, "#/similar")
    seen.heading("Who dances like this?")
    seen.shows("A file cannot be the example: this service scores nothing on request")
    seen.take("503")


def test_what_fails_is_a_sentence_and_what_is_not_wanted_any_more_is_cancelled(
    search: Callable[..., Visit], lived: SmallSystem
) -> None:
    seen = search("clip=nobody")
    assert "nobody" in seen.page.get_by_role("alert").inner_text()
    held: list[Route] = []
    seen.page.route(re.compile("/v1/similar$"), lambda route: held.append(route), times=1)
    seen.open(f"#/similar?clip={SHOWN}")
    wait_until(lambda: held, lambda: seen.page.wait_for_timeout(20))
    seen.open("#/similar?clip=clip-001")
    shows(seen, lived, SimilarQuery(clip_id="clip-001", k=12))
    assert held[0].request.failure == "net::ERR_ABORTED"
    seen.take("404")


@pytest.mark.tried(kind="HTTP edges", given="odd ids as example and hit", outcome="shown as they are")
def test_odd_ids_are_text(search: Callable[..., Visit], lived: SmallSystem) -> None:
    seen = search(f"clip={quote(f'clip-{ODD[0]}', safe='')}")
    odd = hits(seen).filter(has_text=ODD[1])
    expect(odd).to_have_count(1)
    odd.get_by_role("button", name="More like this").click()
    expect(seen.page.get_by_role("list", name="More like")).to_contain_text(ODD[1])
    assert seen.page.title() == "Who dances like this? · dancerank"
    seen.take("404")


def _floats(embedding: bytes) -> list[float]:
    values: list[float] = np.frombuffer(embedding, "<f2").astype(float).tolist()
    return values
