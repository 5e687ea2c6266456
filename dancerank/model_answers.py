"""What a serving process says of the model that its settings name."""

import logging

from dancerank.settings import Settings
from ranking.database.connection import Database
from ranking.monitoring.reading import ModelReader
from schemas.bundle import Bundle, read_manifest
from schemas.clock import Clock
from schemas.errors import BundleError

log = logging.getLogger(__name__)


def model_reader(settings: Settings, bundle: Bundle | None, database: Database, clock: Clock) -> ModelReader:
    """Of a bundle that is not loaded only the manifest is read: ``serve`` needs none of its graphs, and works without
    it: then the log says why, for that may name a path of this machine.
    """
    try:
        manifest = read_manifest(settings.bundle_folder) if bundle is None else bundle.manifest
    except BundleError as error:
        log.warning("there is no model card: %s", error)
        return ModelReader(database, clock, problem="the bundle cannot be read, and the log of the service says why")
    return ModelReader(database, clock, manifest)
