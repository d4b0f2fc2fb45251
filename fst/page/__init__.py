"""The web page (`app.py`): what it shows, and what works behind it."""
