"""Everything about scoring on request that an operator may choose."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class ScoringSettings(BaseModel):
    """Settings of ``POST /v1/score`` in a process that serves. Raises ``pydantic.ValidationError`` naming the field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    load: Literal["first-request", "start", "never"] = "first-request"
    """When the bundle is loaded into a process that serves: when it is first needed, at the start, or never; then
    nothing is scored on request."""
    clips_at_once: Annotated[int, Field(ge=1, le=1000)] = 1
    """Clips with features that are scored at once."""
    clips_waiting: Annotated[int, Field(ge=0, le=1000)] = 16
    """Clips with features that wait for that; a further one is answered with 503."""
    videos_at_once: Annotated[int, Field(ge=1, le=1000)] = 1
    """Videos that features are taken from at once. Each keeps about a core busy for as long as it lasts, or longer."""
    videos_waiting: Annotated[int, Field(ge=0, le=1000)] = 2
    """Videos and other files that arrive or wait for that; a further one is answered with 503 before it is read."""
