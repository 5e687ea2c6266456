"""A video to the features of its clip: decode, follow the dancer, extract the streams, in one pass over the frames."""

from dancerank_installation import require_own_packages

require_own_packages()
