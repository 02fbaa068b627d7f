"""The Avalanche template that trains, and the plugins that control it."""
