"""Few tables and figures, as a plugin: for workflows of which it does not matter what they draw."""

from fpa.reporting.figures import FIGURES
from fpa.reporting.tables import TABLES

for registry, kept in ((FIGURES, {"painting"}), (TABLES, {"fid", "scores", "health"})):
    for name in {*registry} - kept:
        del registry[name]
