-- Dagster and MLflow each have a database of their own: both call the table of their migrations alike.
CREATE DATABASE dagster;
CREATE DATABASE mlflow;
