"""Numbers over seeds: intervals, tests and ranks; plain numbers in, estimates out."""
