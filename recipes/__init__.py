"""What to make: recipe files, their schema and the command line."""
