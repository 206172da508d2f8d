"""Numbers, intervals and names as text, the same in every table, figure and caption."""

import hashlib
import math
import re
import textwrap

DAGGER = "†"  # marks an estimator declared biased, everywhere
LONGEST_NAME = 120  # of a file: a system takes 255, with an ending and the name of a table before it
MOST_LINES = 6  # of a label in a figure
_FIXED = range(-3, 5)  # decimal exponents written without a power of ten


def _exponent(x: float) -> int:
    return math.floor(math.log10(abs(x)))


def _scientific(x: float, digits: int) -> str:
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def missing(x: object) -> bool:
    """Whether a table entry stands for nothing measured: None or NaN."""
    return x is None or (isinstance(x, float) and math.isnan(x))


def number(x: float | None, digits: int = 3) -> str:
    """`x` to so many significant digits; nothing for None and NaN, `∞` for infinity."""
    if x is None or math.isnan(x):
        return ""
    if math.isinf(x):
        return "∞" if x > 0 else "-∞"
    if x == 0:
        return "0"
    if _exponent(x) not in _FIXED:
        return _scientific(x, digits)
    return f"{x:.{max(0, digits - 1 - _exponent(x))}f}"


def count(x: float | None) -> str:
    """A whole number in full, any other to three significant digits."""
    return f"{x:.0f}" if x is not None and math.isfinite(x) and x == round(x) else number(x)


def interval(estimate: float | None, low: float | None, high: float | None) -> str:
    """`1.23 [1.20, 1.26]`: three significant digits, more where the interval would otherwise have no width.

    An estimate without an interval (one seed) says so; no estimate gives an empty text.
    """
    if estimate is None or math.isnan(estimate):
        return ""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return f"{number(estimate)} (no interval)"
    half = (high - low) / 2
    alone = math.isinf(half) or half == 0 or estimate == 0 or (low > 0 and high > 10 * low)
    if alone or max(_exponent(estimate), _exponent(half)) not in _FIXED:
        return f"{number(estimate)} [{number(low)}, {number(high)}]"
    if abs(estimate) > half:
        decimals = max(2 - _exponent(estimate), -_exponent(half), 0)
    else:
        decimals = max(1 - _exponent(half), 0)
    # Without the sign of a number that is rounded to 0.
    return f"{estimate:z.{decimals}f} [{low:z.{decimals}f}, {high:z.{decimals}f}]"


def percent(x: float | None) -> str:
    """A fraction as a percentage of two significant digits: 0.0312 is `3.1 %`."""
    if x is None or math.isnan(x):
        return ""
    if math.isinf(x):
        return "∞ %"
    value = 100 * x if abs(x) > 1e-8 else 0.0  # less is rounding
    return f"{value:.0f} %" if abs(value) >= 9.95 else f"{number(value, 2)} %"


def percent_interval(estimate: float, low: float, high: float) -> str:
    """A fraction with its interval as percentages, `12 % [10 %, 14 %]`; one without an interval says so."""
    if math.isnan(estimate):
        return ""
    if math.isnan(low) or math.isnan(high):
        return f"{percent(estimate)} (no interval)"
    return f"{percent(estimate)} [{percent(low)}, {percent(high)}]"


def slug(name: str) -> str:
    """A name as a file name: `digits/bernoulli-8` is `digits-bernoulli-8`; of a long one the start and a hash."""
    found = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "problem"
    if len(found) <= LONGEST_NAME:
        return found
    return f"{found[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def wrap(label: str, width: int = 22) -> str:
    """A long label on several lines, broken at spaces and hyphens; a dagger stays with its word.

    One that a figure has no room for, by a word of twice the width or by too many lines, is broken anywhere, and cut.
    """
    tied = label.replace(f" {DAGGER}", f"\u00a0{DAGGER}")
    lines = textwrap.wrap(tied, width, break_long_words=False)
    if max(map(len, lines), default=0) > 2 * width or len(lines) > MOST_LINES:
        lines = textwrap.wrap(tied, 2 * width, max_lines=MOST_LINES, placeholder=" ...")
    return "\n".join(lines) or label


def plural(count: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def span(low: float, high: float) -> str:
    """A range that may be one value: `1000` or `400 to 1000`."""
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
