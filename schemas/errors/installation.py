"""Errors of settings, options and what is installed."""

from schemas.errors.families import FinalError


class ConfigurationError(FinalError):
    """A setting, an option of a command or an argument is unknown or has a value that cannot work."""

    code = "configuration"
    remedy = "Correct the setting or option that the message names; `docs/settings.md` lists all settings."


class TopicsMissing(FinalError):
    """Topics are absent, and this Kafka user may not create them."""

    code = "topics_missing"
    remedy = "Have the topics that the message names created, or allow the user to create topics."


class ExtraMissing(FinalError):
    """A command needs a Python package that is not installed."""

    code = "extra_missing"
    remedy = "Install the extra that the message names, for example `pip install 'dancerank[cpu,train]'`."
