"""Figures of searches: visits, rewards, and rankings against the truth."""
