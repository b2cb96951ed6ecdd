"""From finished runs to scores: extractors, features, sampling, distances."""
