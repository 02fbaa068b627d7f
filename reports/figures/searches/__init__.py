"""What only searches have: visits, rewards, and rankings beside the truth."""
