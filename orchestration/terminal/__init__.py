"""What is printed: progress and tables on the terminal, tables into the docs. Imports `orchestration.results`."""
