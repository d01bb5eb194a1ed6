"""The named data sets, one a file: reader, files with their checksums, terms, defaults. Each is listed once, here."""

from gnnrec.data.catalogue import Source
from gnnrec.data.datasets import (
    banking77,
    ciao_dvd,
    complete_journey,
    filmtrust,
    german_credit,
    heater_lastfm,
    hetrec_lastfm,
    ml_1m,
    ml_100k,
    renttherunway,
    ta_feng,
)
from gnnrec.errors import ConfigError

SOURCES: dict[str, Source] = {
    module.SOURCE.name: module.SOURCE
    for module in (
        ml_100k,
        ml_1m,
        hetrec_lastfm,
        heater_lastfm,
        renttherunway,
        ta_feng,
        complete_journey,
        ciao_dvd,
        filmtrust,
        german_credit,
        banking77,
    )
}


def source_named(name: str) -> Source:
    """The source of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SOURCES:
        raise ConfigError(f"data source {name!r} does not exist; there are {', '.join(SOURCES)}")
    return SOURCES[name]
