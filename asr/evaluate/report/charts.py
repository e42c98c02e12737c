"""Charts as SVG, in the page's own colours: drawn with stand-ins, which become CSS variables."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from asr.evaluate.report.analysis import Calibration, Group

if TYPE_CHECKING:
    from collections.abc import Mapping

_INK, _LINE = "#010203", "#010204"  # text and axes
_COLOURS = ("#010205", "#010206", "#010207", "#010208")  # of series; dashes tell them apart without colour
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))
_VARIABLES = {_INK: "--ink", _LINE: "--line"} | {c: f"--series-{i}" for i, c in enumerate(_COLOURS, 1)}


def rates(groups: Sequence[Group], label: str, *, name: str, whole: float) -> str:
    """Error rates of groups with their intervals, as horizontal bars; the rate of the whole as a line."""

    def draw(axis: Any) -> None:
        places = range(len(groups))
        axis.barh(places, [100 * g.rate for g in groups], color=_COLOURS[0], alpha=0.5, height=0.6)
        if math.isfinite(whole):
            axis.axvline(100 * whole, color=_LINE, linewidth=1, linestyle=_DASHES[1])
        for i, group in enumerate(groups):
            if group.interval:
                axis.plot([100 * edge for edge in group.interval], [i, i], color=_INK, linewidth=1.2)
        axis.set_yticks(places, [_short(group.label) for group in groups])
        axis.invert_yaxis()
        axis.set_xlabel(label)
        axis.set_xlim(left=0)

    return _svg(draw, height=0.9 + 0.28 * len(groups), name=name)


def reliability(calibration: Calibration) -> str:
    """Share of right words against their confidence."""

    def draw(axis: Any) -> None:
        axis.plot([0, 100], [0, 100], color=_LINE, linewidth=1)
        means, shares, words = zip(*calibration.bins, strict=True)
        sizes = [10 + 150 * n / calibration.words for n in words]
        axis.plot([100 * m for m in means], [100 * s for s in shares], color=_COLOURS[0])
        axis.scatter([100 * m for m in means], [100 * s for s in shares], sizes, color=_COLOURS[0])
        axis.set_xlabel("confidence, %")
        axis.set_ylabel("right, %")

    return _svg(draw, name="reliability")


def checking(calibration: Calibration) -> str:
    """Share of errors found against the share of words checked, least sure first."""

    def draw(axis: Any) -> None:
        axis.plot([0, 100], [0, 100], color=_LINE, linewidth=1)
        points = calibration.found[:: max(1, len(calibration.found) // 200)] + calibration.found[-1:]
        axis.plot([100 * x for x, _ in points], [100 * y for _, y in points], color=_COLOURS[0])
        axis.set_xlabel("least sure words that are checked, %")
        axis.set_ylabel("wrong words found, %")

    return _svg(draw, name="checking")


def curves(series: Mapping[str, Sequence[tuple[float, float]]], label: str, *, name: str, log: bool = False) -> str:
    """Curves over epochs, of (epoch, value).

    Args:
        log: Whether values that lie far apart are drawn on a logarithmic scale.
    """

    def draw(axis: Any) -> None:
        for i, (what, points) in enumerate(series.items()):
            x, y = zip(*points, strict=True)
            style = {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _DASHES[i % len(_DASHES)]}
            axis.plot(x, y, label=what, marker="." if len(x) < 40 else "", **style)
        values = [y for points in series.values() for _, y in points]
        if log and max(values) > 100 * min(values) > 0:
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("")
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        if len(series) > 1:
            axis.legend(frameon=False, labelcolor=_INK)

    return _svg(draw, name=name)


def _short(label: str, most: int = 32) -> str:
    label = "".join(c if c.isprintable() else " " for c in label)
    return label if len(label) <= most else label[: most - 3] + "..."


def _svg(draw: Callable[[Any], None], *, name: str, height: float = 2.6) -> str:
    """An inline <svg> that is as wide as its place at most; hidden from screen readers, for a table tells the same."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    plain = {"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False, "font.size": 9}
    with matplotlib.rc_context({**plain, "text.color": _INK, "axes.labelcolor": _INK}):
        figure = Figure(figsize=(5, height), layout="constrained")
        FigureCanvasSVG(figure)
        axis = figure.subplots()
        draw(axis)
        axis.tick_params(color=_LINE, labelcolor=_INK)
        for side, spine in axis.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(_LINE)
        content = io.StringIO()
        with warnings.catch_warnings():  # letters that matplotlib's font lacks: the page's has them
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    text = content.getvalue()
    text = re.sub(r"<(metadata|style).*?</\1>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px inherit; font-family: inherit", text)
    for colour, variable in _VARIABLES.items():
        text = re.sub(rf"((?:fill|stroke): ?){colour}\b", rf"\1var({variable})", text)
    unique = re.sub(r"\W+", "-", name)
    text = re.sub(r'id="([^"]+)"', rf'id="{unique}-\1"', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{unique}-", text)
    head = r'<svg class="chart" aria-hidden="true" focusable="false" xmlns:xlink="http://www.w3.org/1999/xlink" \1>'
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', head, text, count=1)
