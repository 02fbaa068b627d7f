"""What must hold for every strategy; related properties are in one file."""
