"""Training a model: Adam, batches of eight, the losses of Eq. (13-14) balanced by GradNorm (paper, Section 5.1).

``fit`` is the whole of it. A run can be kept in a folder, killed at any moment and continued to the same result.
"""

from networks.training.fitting import FitResult, fit
from networks.training_settings import TrainingSettings

__all__ = ["FitResult", "TrainingSettings", "fit"]
