"""What runs in the service: receive, journal, assemble, read, detect, sample."""
