"""Many inputs in one command: what goes where is planned, then photos and films are worked on."""
