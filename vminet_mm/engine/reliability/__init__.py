"""How a run survives interruptions: see README.md beside this file."""
