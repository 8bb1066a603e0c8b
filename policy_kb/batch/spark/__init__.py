"""Batches beyond one machine: the same plan, run by Apache Spark. PySpark is imported only by what runs it."""
