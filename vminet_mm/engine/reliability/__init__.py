"""What keeps a run: see README.md beside this file."""
