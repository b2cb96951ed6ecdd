"""`snakemake --logger fpa`: Snakemake finds plugins by such names."""

from fpa.workflow.terminal import LogHandler

__all__ = ["LogHandler"]
