"""Every reader that is fuzzed with one input at a time."""

from typing import Final

from tests.fuzz import batch_inputs, event_inputs, feature_inputs, folder_inputs, importer_inputs, text_inputs
from tests.fuzz.outcomes import Target

TARGETS: Final[tuple[Target, ...]] = (
    *event_inputs.TARGETS,
    *batch_inputs.TARGETS,
    *feature_inputs.TARGETS,
    *folder_inputs.TARGETS,
    *text_inputs.TARGETS,
    *importer_inputs.TARGETS,
)
