"""What Snakemake's rules ask of an experiment, and what is checked before anything runs."""
