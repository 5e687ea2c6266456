"""Ask a running ``dancerank serve``: ``python examples/ask_over_http.py http://127.0.0.1:8080 clip-7 [KEY]``."""

import json
import sys
import urllib.request
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode


def ask(server: str, path: str, key: str | None = None, **parameters: str | int) -> Any:
    """The answer to a question. An error of the API is an ``HTTPError`` whose body holds ``error.code``."""
    url = f"{server}/v1/{path}?{urlencode(parameters)}"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return json.load(answer)


def main(server: str, clip_id: str, key: str | None = None) -> None:
    clip = quote(clip_id, safe="")
    # Dances like this one, independent of the background; one clip of each dancer.
    similar = ask(server, f"clips/{clip}/similar", key, weights="skeletal:1", group_by="dancer", k=3)
    for hit in similar["hits"]:
        print(f"{hit['clip_id']} by {hit['dancer_id']}: similarity {hit['similarity']:.2f}")
    for challenge in ask(server, "challenges", key):
        ranking = ask(server, f"challenges/{challenge['challenge_id']}/rankings", key, by="fused", k=3)
        print(challenge["challenge_id"], [entry["clip_id"] for entry in ranking["entries"]])


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except HTTPError as error:
        sys.exit(f"error {error.code}: {error.read().decode()}")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {sys.argv[1]} does not answer as dancerank serve does: {error}")
