"""Tables of scores and costs: CSV with everything, then Markdown and LaTeX in the paper's layout.

    tidy        one row for each run, protocol and metric (scores.csv)
    metric      one metric: models down, data sets across (fid, kid)
    scores      every metric: models down, metrics across
    claims      what the paper states, with a verdict
    pairwise    which differences between models exceed the spread of trainings (comparisons)
    agreement   how far scores rank models and checkpoints alike
    choices     which checkpoint each quick score would have chosen
    health      signs of overfitting and of faults
    models      size and cost of the models
    targets     images and hours to a given distance
    published   published scores, for a column of the metrics' tables
    comparison  two runs side by side
    kinds       the registry, and which tables an experiment has
    request     what a table is made from
    build       from entries to a table
    writing     from a table to Markdown and LaTeX

The workflow imports this at every start: nothing here imports pandas.
"""

from fpa.reporting.tables.comparison import compare_runs
from fpa.reporting.tables.kinds import OF_RUNS, files_of_runs, table_names
from fpa.reporting.tables.published import PUBLISHED, read_published

__all__ = [
    "OF_RUNS",
    "PUBLISHED",
    "compare_runs",
    "files_of_runs",
    "read_published",
    "table_names",
]
