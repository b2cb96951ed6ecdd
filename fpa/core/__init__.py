"""What every package uses: errors, files, artifact names, registries, progress, provenance, processes."""
