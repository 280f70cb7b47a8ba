"""Lists secrets and reads those that are named, as the task's role: nothing here says where the API is, or who asks."""

import sys

import boto3
import botocore.exceptions

client = boto3.client("secretsmanager")


def read(name):
    """What came of it; the value itself belongs into no log."""
    try:
        value = client.get_secret_value(SecretId=name)["SecretString"]
    except botocore.exceptions.ClientError as error:
        return error
    return f"{len(value)} characters"


pages = client.get_paginator("list_secrets").paginate()
print("listed:", ", ".join(sorted(secret["Name"] for page in pages for secret in page["SecretList"])))
for name in sys.argv[1:]:
    print(f"{name}: {read(name)}")
