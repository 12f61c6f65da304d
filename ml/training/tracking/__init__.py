"""One MLflow run a stage, and what it was made from. Imports `workspace`; nothing else of training."""
