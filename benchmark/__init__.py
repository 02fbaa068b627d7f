"""The harness: from a suite file to finished runs in a store."""
