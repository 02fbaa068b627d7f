"""What the probes recorded inside the runs (see ``benchmark/probes``), a figure for each."""
