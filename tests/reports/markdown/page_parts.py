"""What tests of written pages take out of runs and studies."""

from palimpsest.reports.runs.cells import group


def cells(runs, scenario="k3"):
    """Cells of a scenario by strategy and strength."""
    return {
        (cell.variant.strategy, cell.variant.strength): cell
        for cell in group(runs)
        if cell.scenario == scenario
    }


def drawn(study):
    """The last figure that a study made: what is drawn, and the plot."""
    plot = study._album.plots[-1]
    return plot.draw(), plot
