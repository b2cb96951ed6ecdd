# `snakemake` at the root; the workflow is in workflow/Snakefile.


include: "workflow/Snakefile"


# An included file's first rule is no default target.
CALL.make_by_default("all")
