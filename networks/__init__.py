"""The networks of the paper in PyTorch: PSGCN, RTCN, attentive fusion, their losses and their training."""
