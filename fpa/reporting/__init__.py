"""Tables and figures from saved scores and arrays: no model, no data set, no GPU."""
