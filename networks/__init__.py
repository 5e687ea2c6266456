"""The networks of the paper in PyTorch: PSGCN, RTCN, attentive fusion, their losses and their training."""

from dancerank_installation import require_own_packages

require_own_packages()
