"""LiveIntent as a Spark data source: sends conversions from a DataFrame, batch or streaming.

docs/spark.md describes it. Only `source` needs PySpark, so nothing is imported here.
"""
