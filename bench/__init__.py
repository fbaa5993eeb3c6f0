"""Speed as ratios: our page computations against DuckDB and pandas, side by side in one run."""
