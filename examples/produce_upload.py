"""Announce a clip on Kafka, with its features in a file: ``python examples/produce_upload.py BROKER FOLDER``.

The topic ``clips.uploaded`` has to exist: ``dancerank stream`` creates it when it starts. It reads the file if
``streamer.feature_roots`` holds ``FOLDER`` as a URI, such as ``file:///data/features``.
"""

import sys
from contextlib import closing
from pathlib import Path

import msgspec
from synthetic_clips import features_of, upload_of

from dancerank import send_clips
from schemas import ClipUploaded, DancerankError, FeatureFile, encode_features
from transport import KafkaConnection, KafkaSink


def main(connection: KafkaConnection, folder: Path) -> ClipUploaded:
    file = folder.resolve() / "clip-1.safetensors"
    file.write_bytes(encode_features(features_of(1)))
    upload = msgspec.structs.replace(upload_of(1), features=FeatureFile(file.as_uri()))
    with closing(KafkaSink(connection)) as sink:
        send_clips(sink, "clips.uploaded", [upload], timeout_s=15.0)
    return upload


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    broker, folder = sys.argv[1:]
    try:
        print("acknowledged:", main(KafkaConnection(servers=(broker,)), Path(folder)).clip_id)
    except (DancerankError, OSError) as error:
        sys.exit(f"error: {error}")
