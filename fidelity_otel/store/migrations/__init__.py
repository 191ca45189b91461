"""Alembic's migrations; `engine.migrate` applies them when a store is opened."""
