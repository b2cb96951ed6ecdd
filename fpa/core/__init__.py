"""What every room uses: errors, files, logging, provenance, processes."""
