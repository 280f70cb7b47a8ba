"""Calls over one connection of its own, signed as boto3 signs: a thousand a second where boto3 makes a hundred."""

import http.client
import json

import botocore.auth
import botocore.awsrequest
import botocore.credentials

TARGETS = {
    "ecs": "AmazonEC2ContainerServiceV20141113", "logs": "Logs_20140328", "longshore": "Longshore_20261121",
}


class Cut(Exception):
    """The server went away: nobody knows what became of the call."""


class Refused(Exception):
    """The server's answer is an error."""


class Caller:
    """One account's calls to an instance. Answers are as on the wire: times are numbers."""

    def __init__(self, instance, number):
        self.address = f"127.0.0.1:{instance.port}"
        secret = instance.environment()["AWS_SECRET_ACCESS_KEY"]
        self.credentials = botocore.credentials.Credentials(number, secret)
        self.connection = None

    def call(self, service, operation, headers=None, /, **members):
        """The answer of an operation."""
        body = json.dumps(members)
        signed = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{TARGETS[service]}.{operation}"}
        request = botocore.awsrequest.AWSRequest("POST", f"http://{self.address}/", signed | (headers or {}), body)
        botocore.auth.SigV4Auth(self.credentials, service, "us-east-1").add_auth(request)
        status, answer = self.exchange(body, dict(request.headers))
        if status != 200:
            raise Refused(f"{operation} {body[:500]}: {status} {answer.decode()}")
        return json.loads(answer or b"{}")

    def hang_up(self):
        """The next call is on a new connection: the server of this one has gone."""
        self.connection = None

    def exchange(self, body, headers):
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.address, timeout=120)
            self.connection.request("POST", "/", body, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection = None
            raise Cut(str(error)) from error
