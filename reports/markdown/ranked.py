"""One suite as a template sees it, with its strategies in an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.reports.analysis.ranking import RANKED, ranking
from palimpsest.reports.figures.ranks import critical_difference_plot
from palimpsest.reports.markdown.illustrated import IllustratedStudy
from palimpsest.reports.markdown.study import Labels


class RankedStudy(IllustratedStudy):
    """The runs of one suite, or of several, with the ranks of their strategies."""

    def ranks(
        self,
        name: str,
        caption: str = "",
        scenarios: Sequence[str] | None = None,
        metrics: Sequence[str] = ("average_accuracy",),
        labels: Labels | None = None,
    ) -> str:
        """Draw average ranks over seeds and scenarios with their critical difference.

        Each strategy counts at the strength that was chosen for it on validation data. Only
        strategies that have runs in each of the scenarios are ranked.

        Args:
            name: Of the file.
            caption: The caption, to which how to read the figure is added.
            scenarios: Three or more (``ranks.ENOUGH``); all where ``None``.
            metrics: What is ranked by, of ``ranking.RANKED`` or a plugin: a diagram for each.
            labels: Other names for strategies.
        """
        shown = tuple(scenarios or self.scenarios)
        for scenario in shown:
            self._catalog.scenario(scenario)
        standings = {
            standing.metric: standing
            for standing in ranking([c for c in self._catalog.choices if c.scenario in shown])
            if set(standing.scenarios) == set(shown)
        }
        for metric in metrics:
            if metric not in standings:
                raise UserError(
                    f"figure {name!r}: nothing is ranked by {metric!r} here; "
                    f"{nearest(metric, standings or RANKED)}"
                )
        plot = critical_difference_plot([standings[m] for m in metrics], labels)
        if plot is None:
            raise UserError(
                f"figure {name!r}: too few strategies, scenarios or seeds for ranks; name three or "
                "more scenarios that have the same strategies and seeds"
            )
        return self._album.add(name, replace(plot, caption=f"{caption} {plot.caption}".strip()))
