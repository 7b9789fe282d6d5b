"""Send the orders of a Parquet folder to LiveIntent with Spark.

    python parquet_to_liveintent.py ORDERS OUTCOMES [API_URL]

OUTCOMES is an absolute path or a URL. The account is in the environment: CUSTOMER_ID, PIXEL_ID, and
TOKEN_PATH, a file with the token.
"""

import os
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

from target_liveintent.spark import LiveIntentDataSource

ACCOUNT = {"customer_id": "CUSTOMER_ID", "pixel_id": "PIXEL_ID", "auth_token_path": "TOKEN_PATH"}
if missing := [name for name in ACCOUNT.values() if not os.environ.get(name)]:
    sys.exit(f"Set in the environment first: {', '.join(missing)}.")
orders, outcomes, *url = sys.argv[1:]
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # Tasks need this Python's packages too.
spark = SparkSession.builder.appName("conversions").getOrCreate()
spark.dataSource.register(LiveIntentDataSource)

conversions = (
    spark.read.parquet(orders)
    .where("status = 'paid' AND NOT is_test")
    .select(
        "id",
        f.col("created_at").alias("event_time"),
        f.when(f.col("channel") == "store", "offline").otherwise(f.col("channel")).alias("source"),
        "email",  # Hashed in the tasks, never sent.
        f.col("client_ip").alias("ip"),
        "user_agent",
        "currency",
        f.col("total").alias("value"),
        f.col("order_number").alias("order_id"),
        f.col("landing_url").alias("source_url"),
    )
)
conversions.write.format("liveintent").options(
    **{option: os.environ[name] for option, name in ACCOUNT.items()},
    stream_name="orders",
    key_properties="id",
    outcomes_path=outcomes,
    **({"api_url": url[0]} if url else {}),
).mode("append").save()
spark.stop()
