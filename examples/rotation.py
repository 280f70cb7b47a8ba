"""Rotates a secret: the program of the task that Longshore runs in place of a Lambda function.

The four steps are those of AWS's protocol, so that a function written for Lambda does: `lambda_handler` has its form. Each
step may be repeated: an attempt that failed is made again with the same token.
"""

import os

import boto3

client = boto3.client("secretsmanager")


def create_secret(secret, token):
    """Make the value that is to be valid, unless an attempt before has."""
    try:
        client.get_secret_value(SecretId=secret, VersionId=token, VersionStage="AWSPENDING")
    except client.exceptions.ResourceNotFoundException:
        password = client.get_random_password(PasswordLength=32, ExcludePunctuation=True)["RandomPassword"]
        client.put_secret_value(SecretId=secret, ClientRequestToken=token, SecretString=password,
                                VersionStages=["AWSPENDING"])


def set_secret(secret, token):
    """Here the service that the secret is for learns the new value."""


def test_secret(secret, token):
    """Here that service is asked something with the new value."""
    client.get_secret_value(SecretId=secret, VersionId=token, VersionStage="AWSPENDING")


def finish_secret(secret, token):
    """From now on the new value is everybody's."""
    versions = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
    current = next(version for version, stages in versions.items() if "AWSCURRENT" in stages)
    if current != token:
        client.update_secret_version_stage(SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token,
                                           RemoveFromVersionId=current)


STEPS = {"createSecret": create_secret, "setSecret": set_secret, "testSecret": test_secret, "finishSecret": finish_secret}


def lambda_handler(event, context):
    secret, token = event["SecretId"], event["ClientRequestToken"]
    described = client.describe_secret(SecretId=secret)
    stages = described["VersionIdsToStages"].get(token, [])
    if "AWSCURRENT" in stages:
        return
    if not described["RotationEnabled"] or "AWSPENDING" not in stages:
        raise ValueError(f"version {token} is not to be made current")
    STEPS[event["Step"]](secret, token)


for step in STEPS:
    lambda_handler({"Step": step, "SecretId": os.environ["ROTATION_SECRET_ID"],
                    "ClientRequestToken": os.environ["ROTATION_CLIENT_REQUEST_TOKEN"]}, None)
