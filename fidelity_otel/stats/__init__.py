"""Pure functions on arrays: estimators, intervals, tests. Knows no store."""
