"""An intrinsic dimension of a fit, an entry of ``mdata.uns[key]["intrinsic_dimension"]``."""

from dataclasses import dataclass

from clipdim._mudata.records import Record


@dataclass(frozen=True)
class Dimension:
    """The intrinsic dimension of one embedding."""

    estimate: float
    low: float
    high: float
    estimator: str
    aggregation: str
    n_neighbors: int
    n_cells: int
    cells: str
    """Split of the cells that were measured."""

    @classmethod
    def from_uns(cls, record: Record) -> "Dimension":
        """Inverse of ``asdict``; estimates are NaN where cells were too few."""
        return cls(
            estimate=record.number("estimate", finite=False),
            low=record.number("low", finite=False),
            high=record.number("high", finite=False),
            estimator=record.text("estimator"),
            aggregation=record.text("aggregation"),
            n_neighbors=record.integer("n_neighbors"),
            n_cells=record.integer("n_cells"),
            cells=record.text("cells"),
        )
