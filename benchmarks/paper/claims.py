"""Claims of the paper, each with what was measured and the criteria of its verdict; kept as JSON, shown as a table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HEADER = "| Experiment | Claim | Measured | Verdict |"


@dataclass(frozen=True)
class Claim:
    """A claim, the numbers that bear on it, and whether each criterion is met."""

    experiment: str
    claim: str
    """In our own words, with the section of the paper."""
    measured: str
    """The numbers; or why there are none."""
    criteria: tuple[tuple[str, bool], ...] = ()
    """Criterion in words, and whether the numbers meet it. Without any the claim was not tested."""

    @property
    def verdict(self) -> str:
        """What the criteria amount to."""
        if not self.criteria:
            return "not run"
        n_met = sum(met for _, met in self.criteria)
        return "holds" if n_met == len(self.criteria) else "holds in part" if n_met else "does not hold"


def judged(experiment: str, claim: str, measured: str, criteria: dict[str, bool]) -> Claim:
    """Make a claim with criteria; a comparison with NaN counts as not met."""
    return Claim(experiment, claim, measured, tuple((text, bool(met)) for text, met in criteria.items()))


def not_run(experiment: str, claim: str, reason: str) -> Claim:
    """Make a claim that was not tested."""
    return Claim(experiment, claim, f"not run: {reason}")


def store(folder: Path, name: str, claims: Sequence[Claim], *, scale: str, machine: str) -> None:
    """Keep the claims of an experiment beside its figures."""
    content = {"scale": scale, "machine": machine, "claims": [asdict(claim) for claim in claims]}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_table(folder: Path, names: Sequence[str]) -> str:
    """Put what the folder holds of these experiments into ``table.md``, in this order, and return the text."""
    lines, origins = [HEADER, "|---" * HEADER.count(" | ") + "|---|"], {}
    for name in names:
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        content = json.loads(path.read_text())
        origins.setdefault(f"{content['scale']} Measured on {content['machine']}.", []).append(name)
        for row in content["claims"]:
            claim = Claim(**{**row, "criteria": tuple(map(tuple, row["criteria"]))})
            criteria = "; ".join(f"{'✓' if met else '✗'} {text}" for text, met in claim.criteria)
            verdict = f"**{claim.verdict}**" + (f": {criteria}" if criteria else "")
            cells = [claim.experiment, claim.claim, claim.measured, verdict]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    for origin, experiments in origins.items():
        which = "" if len(origins) == 1 else f"{', '.join(experiments)}: "
        lines += ["", f"*{which}{origin}*"]
    text = "\n".join([*lines, ""])
    (folder / "table.md").write_text(text)
    return text
