"""What the paper compares with (Section 5.1), one method per file.

Stream networks, trained by the same loop as PSGCN and RTCN:

- ``stgcn``: ST-GCN (Yan et al. 2018), as its public code; input centred and scaled per clip.
- ``dmgnn``, ``body_scales``: DMGNN's encoder (Li et al. 2020), as its public code; any length, our joints.
- ``lstm``: two recurrent layers of 512 (Hochreiter & Schmidhuber 1997); mean of the states.
- ``tcn``: TCN (Bai et al. 2018), as its public code, with RTCN's widths, kernel and 1 x 1 reduction; mean over steps.
- ``segments``: segment-averaged regression after S3D (Xiang et al. 2018); equal segments of given features.
- ``spatial_attention``: frame-level attention averaging after Bielski & Trzcinski (2018); channels in place of places.
- ``usdl``: score distribution learning (Tang et al. 2020), as its public code; expectation in place of the mode.

Regressors, fitted at once (``selection`` holds what they share):

- ``pose_dct``: Pose+DCT+SVR (Pirsiavash et al. 2014); resampled and scaled, cost chosen by inner cross-validation.
- ``pooled``: mean clip features and scikit-learn's SVR as it comes.

Padding is masked in all of them, which no public code does. docs/decisions/0009-baselines.md says why.
"""
