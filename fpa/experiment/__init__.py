"""From a configuration to its resolved runs."""
