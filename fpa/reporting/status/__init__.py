"""What an experiment's trainings are doing now, in a terminal, as JSON and as a page."""
