"""Pictures, films and sound: read, written, laid out; nothing in here knows of styles."""
