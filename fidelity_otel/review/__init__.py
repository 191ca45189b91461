"""The review queue for people: web page, API, terminal."""
