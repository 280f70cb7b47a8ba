"""Certificates by boto3 and the AWS CLI: requested, imported, and shown to clients of load balancers."""

import http.client
import socket
import ssl
import subprocess

import botocore.exceptions
import pytest

from account import eventually, unique
from balancing import Balancer
from conftest import ROOM, Instance
from test_identity import allow, root, user
from test_planted import holders


def openssl(*words, directory):
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True, timeout=60)


class Pki:
    """An authority of somebody else's, one below it, and a certificate for each kind of key."""

    KINDS = {"rsa": ["-newkey", "rsa:2048"], "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}

    def __init__(self, directory):
        self.directory = directory
        for name, above, extension in [("root", None, "basicConstraints=critical,CA:TRUE"),
                                       ("middle", "root", "basicConstraints=critical,CA:TRUE,pathlen:0")]:
            self.make(name, above, extension, "rsa")

    def make(self, name, above, extension, kind, days="90"):
        signed = ["-CA", f"{above}.pem", "-CAkey", f"{above}.key"] if above else []
        request = ["req", "-x509", "-nodes", "-days", days, *self.KINDS[kind], "-keyout", f"{name}.key", "-subj", f"/CN={name}"]
        if not above:
            return openssl(*request, "-out", f"{name}.pem", "-addext", extension, directory=self.directory)
        # `req -CA` is of newer versions than Debian's.
        openssl("req", "-nodes", "-new", *self.KINDS[kind], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
                directory=self.directory)
        (self.directory / f"{name}.ext").write_text(extension)
        return openssl("x509", "-req", "-in", f"{name}.csr", "-days", days, *signed, "-CAcreateserial", "-extfile", f"{name}.ext",
                       "-out", f"{name}.pem", directory=self.directory)

    def leaf(self, name, kind):
        self.make(name, "middle", f"subjectAltName=DNS:{name}", kind)

    def read(self, name):
        return (self.directory / name).read_bytes()

    def lines(self, name):
        """Two lines of a key."""
        return {line: line for line in self.read(name).decode().splitlines()[1:3]}

    def chain(self):
        return self.read("middle.pem") + self.read("root.pem")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


# Everything is logged.
LOGGED = {"LONGSHORE_LOG": "trace", "RUST_LOG": "trace"}


@pytest.fixture(scope="module")
def strict():
    instance = Instance("--engine", "simulated", env=LOGGED).start()
    yield instance
    instance.remove()


@pytest.fixture(scope="module")
def acm(strict):
    return root(strict).client("acm")


def refused(call, **request):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"]


def test_a_requested_certificate_lives_by_boto3(strict, acm):
    request = {"DomainName": "web.example.com", "SubjectAlternativeNames": ["*.example.com"], "ValidationMethod": "DNS",
               "IdempotencyToken": "once", "Tags": [{"Key": "team", "Value": "web"}]}
    arn = acm.request_certificate(**request)["CertificateArn"]
    assert acm.request_certificate(**request)["CertificateArn"] == arn
    acm.get_waiter("certificate_validated").wait(CertificateArn=arn)
    shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert (shown["Status"], shown["Type"], shown["KeyAlgorithm"]) == ("ISSUED", "AMAZON_ISSUED", "RSA_2048")
    assert (shown["NotAfter"] - shown["NotBefore"]).days == 394
    assert {one["ResourceRecord"]["Type"] for one in shown["DomainValidationOptions"]} == {"CNAME"}
    listed = acm.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 1})
    assert arn in [one["CertificateArn"] for page in listed for one in page["CertificateSummaryList"]]
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == request["Tags"]
    acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "team"}])
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == []
    # The authority is the one whose certificate lies with the data.
    chain = acm.get_certificate(CertificateArn=arn)["CertificateChain"]
    file = strict.data_dir / "ca.pem"
    assert file.read_text() == chain and file.stat().st_mode & 0o777 == 0o644
    strict.stop()
    strict.start()
    assert file.read_text() == chain
    assert acm.describe_certificate(CertificateArn=arn)["Certificate"] == shown
    acm.delete_certificate(CertificateArn=arn)
    assert refused(acm.get_certificate, CertificateArn=arn) == "ResourceNotFoundException"


def test_what_openssl_makes_is_imported(strict, acm, pki):
    for kind, algorithm in [("rsa", "RSA_2048"), ("ec", "EC_prime256v1")]:
        name = f"{kind}.example.com"
        pki.leaf(name, kind)
        old = "rsa" if kind == "rsa" else "ec"
        # PKCS #8, and the form that is of its own kind: PKCS #1, SEC 1.
        openssl(old, "-in", f"{name}.key", "-out", f"{name}.old", *(["-traditional"] if kind == "rsa" else []), directory=pki.directory)
        assert pki.read(f"{name}.old") != pki.read(f"{name}.key")
        given = {"Certificate": pki.read(f"{name}.pem"), "PrivateKey": pki.read(f"{name}.key"), "CertificateChain": pki.chain()}
        arn = acm.import_certificate(**given)["CertificateArn"]
        again = acm.import_certificate(**given | {"CertificateArn": arn, "PrivateKey": pki.read(f"{name}.old")})
        assert again["CertificateArn"] == arn
        shown = acm.describe_certificate(CertificateArn=arn)["Certificate"]
        assert (shown["KeyAlgorithm"], shown["DomainName"], shown["Issuer"]) == (algorithm, name, "middle")
        got = acm.get_certificate(CertificateArn=arn)
        assert ssl.PEM_cert_to_DER_cert(got["Certificate"]) == ssl.PEM_cert_to_DER_cert(pki.read(f"{name}.pem").decode())
        assert refused(acm.import_certificate, **given | {"CertificateChain": pki.read("root.pem")}) == "ValidationException"
        assert refused(acm.import_certificate, **given | {"PrivateKey": pki.read("root.key")}) == "ValidationException"
        assert not holders(strict, pki.lines(f"{name}.key"))
    locked = ["rsa", "-in", "rsa.example.com.key", "-aes128", "-passout", "pass:x", "-out", "locked.key"]
    openssl(*locked, directory=pki.directory)
    given = {"Certificate": pki.read("rsa.example.com.pem"), "PrivateKey": pki.read("locked.key"), "CertificateChain": pki.chain()}
    assert refused(acm.import_certificate, **given) == "ValidationException"


def test_policies_say_who_may_ask_for_which_names(strict, acm):
    team = {"ForAllValues:StringLike": {"acm:DomainNames": ["*.team.test"]}}
    _, bearer = user(strict, allow("acm:RequestCertificate", Condition=team))
    client = bearer.client("acm")
    arn = client.request_certificate(DomainName="a.team.test", KeyAlgorithm="EC_prime256v1")["CertificateArn"]
    assert refused(client.request_certificate, DomainName="a.other.test") == "AccessDeniedException"
    names = ["b.team.test", "b.other.test"]
    assert refused(client.request_certificate, DomainName=names[0], SubjectAlternativeNames=names) == "AccessDeniedException"
    assert refused(client.get_certificate, CertificateArn=arn) == "AccessDeniedException"
    _, reader = user(strict, allow("acm:GetCertificate", resource=arn))
    assert reader.client("acm").get_certificate(CertificateArn=arn)["CertificateChain"]
    assert refused(reader.client("acm").delete_certificate, CertificateArn=arn) == "AccessDeniedException"


def shown_to(balancer, name, authority, versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), port=443):
    """The names of the certificate that a client who asks for a name is shown, and the version that is spoken."""
    context = ssl.create_default_context(cadata=authority)
    context.minimum_version, context.maximum_version = versions
    with socket.create_connection((balancer.address, port), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname=name) as secure:
            names = {value for kind, value in secure.getpeercert()["subjectAltName"] if kind == "DNS"}
            return names, secure.version()


def asked(balancer, name, authority):
    """Status and body of a request by HTTPS."""
    context = ssl.create_default_context(cadata=authority)
    connection = http.client.HTTPSConnection(balancer.address, 443, timeout=30, context=context)
    connection.sock = context.wrap_socket(socket.create_connection((balancer.address, 443), 30), server_hostname=name)
    connection.request("GET", "/", headers={"Host": name})
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.fixture(scope="module")
def secured():
    """A real instance's balancer that answers by HTTPS."""
    instance = Instance(*ROOM, env=LOGGED).start()
    account = instance.account()
    account.cluster()
    balancer, acm = Balancer(account), instance.client("acm")
    arn = acm.request_certificate(DomainName="one.example.com", KeyAlgorithm="EC_prime256v1")["CertificateArn"]
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "well"}}
    listener = balancer.elb.create_listener(
        LoadBalancerArn=balancer.arn, Protocol="HTTPS", Port=443, Certificates=[{"CertificateArn": arn}],
        DefaultActions=[answer])["Listeners"][0]["ListenerArn"]
    yield instance, balancer, acm, listener, arn
    instance.remove()


def test_a_listener_of_https_answers_with_its_certificates(secured, pki):
    instance, balancer, acm, listener, arn = secured
    authority = acm.get_certificate(CertificateArn=arn)["CertificateChain"]

    def connects(call, *words, **options):
        try:
            return call(*words, **options)
        except ConnectionError:
            return None

    assert eventually(lambda: connects(asked, balancer, "one.example.com", authority)) == (200, b"well")
    # The usual policy is 1.2 at most; a newer one speaks 1.3 too.
    assert shown_to(balancer, "one.example.com", authority) == ({"one.example.com"}, "TLSv1.2")
    balancer.elb.modify_listener(ListenerArn=listener, SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")
    eventually(lambda: shown_to(balancer, "one.example.com", authority)[1] == "TLSv1.3")
    # A second name has a certificate of its own, somebody else's.
    pki.leaf("two.example.com", "rsa")
    given = {"Certificate": pki.read("two.example.com.pem"), "PrivateKey": pki.read("two.example.com.key"),
             "CertificateChain": pki.read("middle.pem")}
    two = acm.import_certificate(**given)["CertificateArn"]
    balancer.elb.add_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": two}])
    both = authority + pki.read("root.pem").decode()

    def names(name):
        try:
            return shown_to(balancer, name, both)[0]
        except ssl.SSLCertVerificationError:
            return None

    assert eventually(lambda: names("two.example.com")) == {"two.example.com"}
    assert names("one.example.com") == {"one.example.com"}
    assert names("three.example.com") is None
    told = balancer.elb.describe_listener_certificates(ListenerArn=listener)["Certificates"]
    assert [(one["CertificateArn"], one["IsDefault"]) for one in told] == [(arn, True), (two, False)]
    assert refused(acm.delete_certificate, CertificateArn=two) == "ResourceInUseException"
    assert acm.describe_certificate(CertificateArn=two)["Certificate"]["InUseBy"] == [balancer.arn]
    # Imported again, the next client is shown the new one.
    pki.make("two.example.com", "middle", "subjectAltName=DNS:two.example.com,DNS:four.example.com", "rsa")
    again = {"Certificate": pki.read("two.example.com.pem"), "PrivateKey": pki.read("two.example.com.key")}
    acm.import_certificate(**given | again | {"CertificateArn": two})
    assert eventually(lambda: names("four.example.com")) == {"two.example.com", "four.example.com"}
    balancer.elb.remove_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": two}])
    eventually(lambda: names("two.example.com") is None)
    assert not holders(instance, pki.lines("two.example.com.key"))
    acm.delete_certificate(CertificateArn=two)


def test_a_walk_by_the_cli(secured, pki):
    instance, balancer, *_ = secured

    def aws(*words):
        return instance.aws(*words)

    name = f"{unique()}.example.com"
    arn = aws("acm", "request-certificate", "--domain-name", name, "--validation-method", "DNS")["CertificateArn"]
    aws("acm", "wait", "certificate-validated", "--certificate-arn", arn)
    pki.leaf("cli.example.com", "ec")
    files = [f"fileb://{pki.directory}/{file}" for file in ("cli.example.com.pem", "cli.example.com.key", "middle.pem")]
    flags = ("--certificate", "--private-key", "--certificate-chain")
    own = aws("acm", "import-certificate", *(word for pair in zip(flags, files) for word in pair))["CertificateArn"]
    listed = aws("acm", "list-certificates", "--includes", "keyTypes=RSA_2048,EC_prime256v1")["CertificateSummaryList"]
    assert {arn, own} <= {one["CertificateArn"] for one in listed}
    group = aws("elbv2", "create-target-group", "--name", unique(), "--protocol", "TLS", "--port", "443", "--target-type", "ip",
                "--vpc-id", aws("ec2", "describe-vpcs")["Vpcs"][0]["VpcId"])["TargetGroups"][0]["TargetGroupArn"]
    subnet = aws("ec2", "describe-subnets")["Subnets"][0]["SubnetId"]
    network = aws("elbv2", "create-load-balancer", "--name", unique(), "--type", "network", "--subnets", subnet)["LoadBalancers"][0]
    listener = aws("elbv2", "create-listener", "--load-balancer-arn", network["LoadBalancerArn"], "--protocol", "TLS",
                   "--port", "443", "--certificates", f"CertificateArn={arn}", "--alpn-policy", "HTTP2Preferred",
                   "--default-actions", f"Type=forward,TargetGroupArn={group}")["Listeners"][0]
    assert listener["AlpnPolicy"] == ["HTTP2Preferred"] and listener["SslPolicy"] == "ELBSecurityPolicy-2016-08"
    more = aws("elbv2", "add-listener-certificates", "--listener-arn", listener["ListenerArn"], "--certificates",
               f"CertificateArn={own}")
    assert more["Certificates"] == [{"CertificateArn": own, "IsDefault": False}]
    policies = aws("elbv2", "describe-ssl-policies", "--names", listener["SslPolicy"])["SslPolicies"]
    assert policies[0]["SslProtocols"] == ["TLSv1", "TLSv1.1", "TLSv1.2"]
    used = instance.aws("acm", "delete-certificate", "--certificate-arn", own, check=False)
    assert used.returncode != 0 and "(ResourceInUseException)" in used.stderr
    aws("elbv2", "delete-load-balancer", "--load-balancer-arn", network["LoadBalancerArn"])
    for certificate in (arn, own):
        aws("acm", "delete-certificate", "--certificate-arn", certificate)
    assert balancer.elb.describe_listeners(LoadBalancerArn=balancer.arn)["Listeners"]
