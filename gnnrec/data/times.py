"""Times as whole numbers: seconds since 1970 where they are dates, and else what stands there."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from gnnrec.errors import ConfigError

NO_TIME = "{cell} is neither a number nor a date such as 2024-03-01 or 2024-03-01 17:30:00"


def are_numbers(cells: "pd.Series") -> bool:
    """Whether a column of times, [R] text, holds numbers: at least half of what is not empty."""
    number = pd.to_numeric(cells.to_numpy(object), errors="coerce")
    return bool(2 * np.isfinite(number).sum() >= (cells != "").sum())


def numbers(cells: "pd.Series") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[R] int64 and [R] float64, whole part and fraction of finite numbers in text; [R] whether the whole part fits.

    Each digit is kept where there is no exponent.
    """
    parts = cells.str.extract(r"^([+-]?\d*)(?:\.(\d*))?$")
    number = pd.to_numeric(cells.to_numpy(object)).astype(float)
    plain = parts[0].notna().to_numpy(bool) & ~parts[0].isin(["", "+", "-"]).to_numpy(bool)
    inside = np.abs(number) < 2.0**63
    whole = np.trunc(np.where(inside, number, 0)).astype(np.int64)
    exact = plain & inside
    whole[exact] = pd.to_numeric(parts[0][exact].to_numpy(object)).astype(np.int64)
    fraction = np.where(inside, number, 0) - np.trunc(np.where(inside, number, 0))
    digits = pd.to_numeric("0." + parts[1].fillna("").where(parts[1].fillna("") != "", "0")).to_numpy(float)
    sign = np.where(cells.str.startswith("-"), -1.0, 1.0)
    return whole, np.where(exact, sign * digits, fraction), inside


def dates(cells: "pd.Series") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[R] int64 seconds since 1970 and [R] float64 of a second, of dates in text; [R] whether it is a date.

    A date that names no zone is UTC. Parts of seconds are taken off first: with nanoseconds, pandas reaches from 1677
    to 2262 alone.
    """
    part = cells.str.extract(r":\d\d[.,](\d+)")[0].fillna("")
    plain = cells.str.replace(r"(:\d\d)[.,]\d+", r"\1", n=1, regex=True)
    date = pd.to_datetime(plain, errors="coerce", utc=True, format="ISO8601").dt.as_unit("s")
    ok = date.notna().to_numpy(bool)
    whole = np.zeros(len(cells), dtype=np.int64)
    whole[ok] = date[ok].astype(np.int64).to_numpy()
    return whole, pd.to_numeric("0." + part.where(part != "", "0")).to_numpy(float), ok


def read_times(cells: "pd.Series", numeric: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[R] int64 and [R] float64, times and fractions of text; [R] whether it is a time, as a number or as a date."""
    if not numeric:
        return dates(cells)
    fits = np.isfinite(pd.to_numeric(cells.to_numpy(object), errors="coerce"))
    whole, fraction = np.zeros(len(cells), dtype=np.int64), np.zeros(len(cells))
    whole[fits], fraction[fits], inside = numbers(cells[fits])
    fits[fits] = inside
    return whole, fraction, fits


def moment(given: int | str, option: str) -> int:
    """Seconds since 1970 of a date (UTC if it names no zone); a whole number as it is.

    Args:
        given: a number, or a date such as 1998-04-01.
        option: its name, for messages.

    Raises:
        ConfigError: it is neither.
    """
    try:
        return int(given)
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(str(given))
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except ValueError:
        raise ConfigError(f"{option}: {given!r} is neither a whole number nor a date such as 1998-04-01") from None
