"""Settings of the workers of the traffic pools."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ranking.pools.service.leases import LEASE_S
from ranking.views.limits import BATCH_RECORDS


class PoolSettings(BaseModel):
    """Settings of the workers of the traffic pools. Raises ``pydantic.ValidationError`` naming the field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    policy: Path | None = None
    """TOML file with the active policy; absent: the example with four tiers that ships with the package."""
    engagement_topic: str = "clips.engagement"
    """Where reactions to clips are reported."""
    decisions_topic: str = "clips.pool-decisions"
    """Where decisions go, keyed by clip."""
    batch_records: Annotated[int, Field(ge=1, le=10_000)] = BATCH_RECORDS
    """Most records handled in one transaction."""
    round_interval_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """Seconds between two rounds, which let clips go, admit clips that wait and explore."""
    lease_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] = LEASE_S
    """Seconds without a transaction after which a worker is taken to have ended, so that what is leased to it is free
    for others. More than ``round_interval_s``: an idle worker has a transaction for each round."""
    journal: bool = True
    """Whether every event is kept in the database, so that ``dancerank pools replay`` can make all decisions again."""
    snapshot_interval_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 86_400.0
    """Seconds after which a snapshot of the pools takes the place of the journal; a replay starts there."""
    comparison_timeout_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """Seconds that a comparison of policies, which ``serve`` makes for who asks for one, may take; then it is ended."""
