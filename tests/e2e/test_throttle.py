"""Throttling, where it is switched on: AWS's buckets, AWS's words, and clients that try again get through."""

import botocore.exceptions
import pytest
from account import unique
from conftest import Instance


@pytest.fixture(scope="module")
def throttled():
    instance = Instance("--engine", "simulated", "--auth", "permissive", "--throttle").start()
    yield instance
    instance.remove()


def refusals(call, count, **given):
    """How many of so many calls are throttled; nothing else may be wrong with them."""
    refused = 0
    for _ in range(count):
        try:
            call(**given)
        except botocore.exceptions.ClientError as error:
            answer = error.response
            assert answer["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"} | answer["Error"]
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
            refused += 1
    return refused


def test_a_category_is_exhausted_alone_and_for_one_account_alone(throttled):
    ecs, other = throttled.client("ecs", key="111111111111"), throttled.client("ecs", key="222222222222")
    assert refusals(ecs.create_cluster, 40, clusterName="one") >= 10
    assert refusals(ecs.delete_cluster, 3, cluster="one") >= 1
    assert refusals(ecs.list_clusters, 10) == 0
    assert refusals(other.create_cluster, 10, clusterName="one") == 0


def test_a_client_that_tries_again_gets_through(throttled):
    patient = throttled.client("ecs", key="333333333333", retries={"total_max_attempts": 10, "mode": "standard"})
    names = [unique() for _ in range(26)]
    retries = 0
    for name in names:
        made = patient.create_cluster(clusterName=name)
        assert made["cluster"]["clusterName"] == name
        retries += made["ResponseMetadata"]["RetryAttempts"]
    assert retries > 0
    listed = patient.get_paginator("list_clusters").paginate().build_full_result()["clusterArns"]
    assert {arn.rsplit("/", 1)[1] for arn in listed} == set(names)


def test_nothing_is_throttled_unless_it_is_switched_on(simulated):
    assert refusals(simulated.client("ecs", key="111111111112").create_cluster, 60, clusterName="one") == 0
