"""Scripts that a page holds: our own, and those that the README beside them lists."""

import re
from importlib.resources import files

from markupsafe import Markup

TABLES = ("dataTables.min.js", "tables.js")
CHARTS = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js", "drawing.js", "charts.js")
_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)


def script(*names: str) -> Markup:
    """Files for a script element, without the addresses of their source maps, which no page may ask for.

    Raises:
        ValueError: a file would end the element.
    """
    text = "\n;\n".join(_MAP.sub("", files(__name__).joinpath(name).read_text(encoding="utf-8")) for name in names)
    if re.search(r"</script|<!--", text, re.IGNORECASE):
        raise ValueError(f"{', '.join(names)}: a script that holds </script or <!-- cannot stand in a page")
    return Markup(text)
