"""What a serving process says of the model that its settings name."""

from dancerank.settings import Settings
from ranking.database.connection import Database
from ranking.monitoring.reading import ModelReader
from schemas.bundle import Bundle, read_manifest
from schemas.clock import Clock
from schemas.errors import BundleError


def model_reader(settings: Settings, bundle: Bundle | None, database: Database, clock: Clock) -> ModelReader:
    """Of a bundle that is not loaded only the manifest is read: ``serve`` needs none of its graphs, and works without
    it.
    """
    try:
        manifest = read_manifest(settings.bundle_folder) if bundle is None else bundle.manifest
    except BundleError as error:
        return ModelReader(database, clock, problem=error.message)
    return ModelReader(database, clock, manifest)
