"""The specifications that charts of one kind share, written by Altair; the page fills in data, names and scales.

In them `chosen` is the place of the estimator that is brought out, or -1. Each row holds how it looks then (`colour`)
and otherwise (`grey`), and `few`, whether it stands out while nobody is chosen.
"""

from typing import Any

import altair as alt

VALUE, PLACE = "$value", "$place"
"""Where the names of a chart's axes go."""
_LEFT = alt.value(0)


def _field(name: str) -> Any:
    """A field that holds what it looks like, such as a colour."""
    return {"field": name, "type": "nominal", "scale": None, "legend": None}


def _data() -> Any:
    inks = {
        "front": "chosen < 0 ? datum.few : datum.e === chosen",
        "ink": "(chosen < 0 ? datum.few : datum.e === chosen) ? datum.colour : datum.grey",
        "hole": "datum.unbiased ? ((chosen < 0 ? datum.few : datum.e === chosen) ? datum.colour : datum.grey) "
        ": datum.paper",
        "strength": "chosen < 0 || datum.e === chosen ? datum.pale : 0.5 * datum.pale",
    }
    return alt.Chart(alt.NamedData("rows")).transform_calculate(**inks)


def _tooltip() -> list[alt.Tooltip]:
    titles = {"name": "estimator", "at": "at", "told": "value", "interval": "interval", "n": "n"}
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items()]


def _marks(of: Any, size: int) -> Any:
    """Hollow where biased; a tooltip says the numbers."""
    marked = of.mark_point(size=size, strokeWidth=1.5, opacity=1, cursor="pointer", clip=False)
    return marked.encode(
        shape=_field("shape"), stroke=_field("ink"), fill=_field("hole"), opacity=_opacity(), tooltip=_tooltip()
    )


def _opacity() -> Any:
    return {"field": "strength", "type": "quantitative", "scale": None, "legend": None}


def _value(field: str, channel: Any) -> Any:
    return channel(f"{field}:Q").title(VALUE).scale(type="log", clamp=True, nice=False)


def _dots() -> Any:
    """A row an estimator, a dot a point, sorted by the last of them."""
    base = _data().encode(y=alt.Y("name:N").title(None).sort([]).axis(labelLimit=190, ticks=False, grid=True))
    ends = base.mark_rule(strokeWidth=2, clip=True).encode(
        x=_value("low", alt.X), x2="high:Q", yOffset="offset:N", color=_field("ink"), opacity=_opacity()
    )
    ticks = base.transform_filter("isValid(datum.tick)").mark_tick(thickness=2, color="#999999", clip=True)
    dots = base.transform_filter("isValid(datum.v)").encode(x=_value("v", alt.X), yOffset="offset:N")
    zeros = base.transform_filter("datum.zero").mark_text(align="left", dx=3, fontSize=10)
    marked = base.transform_filter("isValid(datum.line)").mark_tick(thickness=1, color="#888888")  # one a row
    return alt.layer(
        marked.encode(x=_value("line", alt.X)),
        ticks.encode(x=_value("tick", alt.X), yOffset="offset:N"),
        ends,
        _marks(dots, 55),
        zeros.encode(x=_LEFT, yOffset="offset:N", text="zero:N", color=_field("ink"), tooltip=_tooltip()),
    )


def _lines() -> Any:
    """All lines thin and grey, over them the few that stand out, named at their ends, with their intervals."""
    x: Any = alt.X("x:Q")
    x = x.title(PLACE).scale(nice=False).axis(grid=False)
    base = _data().encode(x=x, y=_value("v", alt.Y))
    front = base.transform_filter("datum.front")
    thin = base.mark_line(strokeWidth=1, opacity=0.55, clip=True, cursor="pointer")
    band = front.mark_area(opacity=0.16, clip=True, line=False)
    thick = front.mark_line(strokeWidth=2, clip=True, cursor="pointer")
    faint = base.mark_point(size=12, filled=True, opacity=0.8, clip=True, cursor="pointer")
    names = front.transform_filter("datum.last").mark_text(align="left", dx=8, fontSize=11, limit=150, cursor="pointer")
    dash = _field("dash") | {"scale": {"domain": ["test set", "training set"], "range": [[1, 0], [4, 2]]}}
    return alt.layer(
        thin.encode(color=_field("grey"), detail="name:N", strokeDash=dash),
        band.encode(y=_value("low", alt.Y), y2="high:Q", color=_field("colour"), detail="name:N"),
        thick.encode(color=_field("colour"), detail="name:N", strokeDash=dash),
        faint.encode(color=_field("ink"), tooltip=_tooltip()),
        _marks(front.transform_filter("datum.marked"), 45),
        names.encode(y=_value("end", alt.Y), text="name:N", color=_field("colour"), tooltip=_tooltip()),
    )


def _scatter() -> Any:
    """A dot an estimator with the intervals of both quantities; dashed, the unbiased ones that no other one beats."""
    x = alt.X("x:Q").title(PLACE).scale(type="log", nice=False, clamp=True)
    base = _data().encode(x=x, y=_value("v", alt.Y))
    tall = base.mark_rule(clip=True).encode(
        y=_value("low", alt.Y), y2="high:Q", color=_field("ink"), opacity=_opacity()
    )
    wide = base.mark_rule(clip=True).encode(x=alt.X("x_low:Q"), x2="x_high:Q", color=_field("ink"), opacity=_opacity())
    front = base.transform_filter("datum.edge")
    edge = front.mark_line(interpolate="step-after", strokeDash=[4, 3], strokeWidth=1, color="#888888")
    named = base.transform_filter("datum.edge || datum.e === chosen")
    names = named.mark_text(align="center", baseline="bottom", dy=-7, fontSize=11)
    return alt.layer(edge, tall, wide, _marks(base, 70), names.encode(text="name:N", color=_field("ink")))


def frames() -> dict[str, Any]:
    """The specifications by their names, as plain values."""
    with alt.utils.schemapi.debug_mode(False):  # a test holds them to the schema, which takes most of the time
        return _frames()


def _frames() -> dict[str, Any]:
    chosen = alt.param(name="chosen", value=-1)
    found = {"dots": _dots(), "scatter": _scatter(), "lines": _lines()}
    return {name: frame.add_params(chosen).to_dict(validate=False) for name, frame in found.items()}
