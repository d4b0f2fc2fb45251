"""Many inputs in one command: a plan of all files first, then photos and videos are stylised."""
