"""LiveIntent as a Spark data source: sends conversions from a DataFrame, batch or streaming.

docs/spark.md describes the options and the guarantees. Events and their delivery are the same as in
the target. Only `source` needs PySpark, so nothing is imported here.
"""
