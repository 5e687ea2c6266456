"""The networks in the form that inference runs fastest, with the same weights."""

from exporters.onnx.inference.psgcn import InferencePSGCN
from exporters.onnx.inference.rtcn import InferenceRTCN
from networks.psgcn import PSGCN
from networks.rtcn import RTCN
from networks.streams import StreamNetwork


def inference_form(network: StreamNetwork) -> StreamNetwork:
    """``network``, in evaluation, in the form that it has for inference; as it is if it has no other."""
    match network:
        case RTCN():
            return InferenceRTCN(network).eval()
        case PSGCN():
            return InferencePSGCN(network).eval()
    return network
