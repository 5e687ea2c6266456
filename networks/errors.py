"""What can be wrong with the clips and predictions that methods are fitted to and evaluated on."""

from schemas.errors import FinalError


class UnusableSamples(FinalError):
    """Clips, scores or predictions that a method cannot be fitted to or evaluated on; the message says why."""

    code = "unusable_samples"
    remedy = "Leave out the clips that the message names, add what they lack, or choose another method or modality."


class UnfitWeights(FinalError):
    """Weights of another implementation that do not fit the network; the message names them."""

    code = "unfit_weights"
    remedy = "Give the whole state_dict of the implementation that the message names, and a network of its sizes."
