"""The look that all figures share. Colours are those of Okabe and Ito, which the colour-blind can tell apart."""

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foreworld.data.schema import Schema, Variable

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DARK = ("#00344F", "#6B2F00", "#004F3A", "#7A3A60", "#7A5300", "#1F5F86")
# Offset and lengths of dashes and gaps.
LINES = (
    (0.0, ()),
    (0.0, (5.0, 2.0)),
    (0.0, (6.0, 2.0, 1.0, 2.0)),
    (0.0, (1.0, 1.0)),
    (0.0, (9.0, 2.0)),
    (0.0, (3.0, 1.0, 1.0, 1.0, 1.0, 1.0)),
)
INK, FAINT = "#333333", "#8A8A8A"
BANDS = {0.9: 0.14, 0.8: 0.16, 0.5: 0.24}  # opacity of each central interval, which lie upon each other
WIDTH = 8.0  # inches


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of a size in inches, with a layout that keeps labels apart."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def colour(index: int) -> str:
    """One of a few colours, over and over."""
    return COLOURS[index % len(COLOURS)]


def dark(index: int) -> str:
    """The same colour, darker: for lines upon bands of it."""
    return DARK[index % len(DARK)]


def line(index: int) -> tuple[float, tuple[float, ...]]:
    """A line style to go with the colour, for those who see none."""
    return LINES[index % len(LINES)]


def dress(axes: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Labels, a faint grid, and no frame where there is no scale."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=10)
    axes.grid(True, color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, color=INK, fontsize=11)
    axes.set_ylabel(y, color=INK, fontsize=11)
    if title:
        axes.set_title(title, color=INK, fontsize=12, loc="left")


def with_unit(variable: Variable) -> str:
    """The name of a variable, with its unit if it has one."""
    return f"{variable.name} ({variable.unit})" if variable.unit else variable.name


def time_scale(schema: Schema) -> tuple[float, str]:
    """What to divide times by, and the unit that they then have: datetimes are shown in hours."""
    return (3600.0, "h") if schema.time_kind == "datetime" else (1.0, schema.time_unit)


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as a PNG file; the same bytes for the same figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
