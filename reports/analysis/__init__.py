"""What the runs show: strengths that were chosen, rankings, frontiers, and what went wrong."""
