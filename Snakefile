# `snakemake` at the root; the workflow is in workflow/Snakefile.


include: "workflow/Snakefile"


# An included file's first rule is no default target.
workflow.default_target = workflow.default_target or "all"
