"""Settings of the model's monitoring."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


class MonitoringSettings(BaseModel):
    """Samples and intervals of the measurement. Raises ``pydantic.ValidationError`` naming the field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    measure_interval_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 300.0
    """Seconds between two comparisons of predictions with what was observed."""
    agreement_clips: Annotated[int, Field(ge=2)] = 500
    """Clips of a challenge that are compared with what was predicted of them: those observed last."""
    least_clips: Annotated[int, Field(ge=2)] = 20
    """Clips that a challenge needs before it is measured."""
    least_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Days online that a clip's reactions need to be counted over before they say anything."""
    most_challenges: Annotated[int, Field(ge=0)] = 50
    """Challenges that are reported one by one, those with most clips. All others count in the mean."""
    reference_clips: Annotated[int, Field(ge=1)] = 1000
    """First clips of a model generation, which later ones are compared with."""
    drift_clips: Annotated[int, Field(ge=1)] = 1000
    """Latest clips, which are compared with the first."""

    @model_validator(mode="after")
    def _enough_clips(self) -> Self:
        if self.agreement_clips < self.least_clips:
            message = f"agreement_clips is {self.agreement_clips}; it must be at least least_clips ({self.least_clips})"
            raise PydanticCustomError("setting", "{message}", {"key": "agreement_clips", "message": message})
        return self
