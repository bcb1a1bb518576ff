"""Public holidays by country and region, as the package `holidays` knows them.

A code is a country (RU) or a country and one of its regions (DE-BY); days on which a holiday is observed count too. The package
takes about 0.1 s and 10 MB to import, so it is imported when somebody asks for the first holiday, and a house without any pays nothing.

What the package does not know is not a holiday: most countries end in 2100, some much earlier, and a government's decree is in it
after an update. A date of one's own (broker.hours) says what it does not.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from broker.domain import base_language
from broker.errors import BadHours
from broker.hours import Hours
from routing.calendar import check


class WorldCalendars:
    """broker.ports.Calendars: the zones of the IANA database, the holidays of the package `holidays`."""

    def check(self, hours: Hours) -> None:
        """See the port."""
        check(hours, codes)


@lru_cache(maxsize=256)
def public_holidays(code: str, year: int, language: str = "") -> Mapping[date, str]:
    """Return the holidays of *code* in *year* with their names.

    Names are in *language* (a tag such as `en`) where the package has them, else in the country's own. Raises BadHours for a code
    that `known` denies.
    """
    import holidays

    if not known(code):
        raise BadHours(f"{code!r} is not a country or region whose holidays are known; take it out", field="holidays")
    country, _, region = code.partition("-")
    # Never None: the package would then take the language of the process's environment.
    spoken = _spoken(getattr(holidays, country), language)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of years it does not know; what that means is said above
        found = holidays.country_holidays(country, subdiv=region or None, years=year, language=spoken, expand=False)
    return MappingProxyType(dict(sorted(found.items())))


def known(code: str) -> bool:
    """Return whether *code* has holidays here."""
    return code in codes()


@lru_cache(maxsize=1)
def codes() -> frozenset[str]:
    """Return every code: countries by two letters, and regions by their country's and their own."""
    import holidays

    countries = {code: regions for code, regions in holidays.list_supported_countries().items() if len(code) == 2}
    return frozenset(countries) | {f"{code}-{region}" for code, regions in countries.items() for region in regions}


def _spoken(country: Any, language: str) -> str:
    base = base_language(language)
    ours = [each for each in country.supported_languages if base and each.partition("_")[0] == base]
    return ours[0] if ours else country.default_language or ""
