"""KMS and Secrets Manager, by the AWS CLI and boto3: values, versions, keys, who may read them, and that nobody finds them
on the disk."""

import base64
import json
import uuid

from account import unique
from disk import files, holding
from refusal import check_refused
from test_identity import ACCOUNT, allow, root, user

HERE = f"us-east-1:{ACCOUNT}"
NOT_FOUND = "Secrets Manager can't find the specified secret."


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def statement(effect, principal, *actions, **more):
    return {"Effect": effect, "Principal": principal, "Action": list(actions), "Resource": "*"} | more


def test_the_command_line_leads_a_secret_through_its_life(strict):
    def secrets(*words, **options):
        return strict.aws("secretsmanager", *words, **options)

    name = f"prod/{unique()}"
    made = secrets("create-secret", "--name", name, "--secret-string", '{"password":"one"}', "--tags", "Key=team,Value=web")
    arn = made["ARN"]
    assert arn.startswith(f"arn:aws:secretsmanager:{HERE}:secret:{name}-") and len(made["VersionId"]) == 36
    read = secrets("get-secret-value", "--secret-id", name)
    assert read["SecretString"] == '{"password":"one"}' and read["VersionStages"] == ["AWSCURRENT"]
    put = secrets("put-secret-value", "--secret-id", arn, "--secret-string", "two")
    assert secrets("get-secret-value", "--secret-id", arn[:-7])["SecretString"] == "two"
    old = secrets("get-secret-value", "--secret-id", name, "--version-stage", "AWSPREVIOUS")
    assert old["VersionId"] == made["VersionId"]
    secrets("update-secret-version-stage", "--secret-id", name, "--version-stage", "AWSCURRENT",
            "--move-to-version-id", made["VersionId"], "--remove-from-version-id", put["VersionId"])
    assert secrets("get-secret-value", "--secret-id", name)["SecretString"] == '{"password":"one"}'
    secrets("update-secret", "--secret-id", name, "--description", "the database")
    shown = secrets("describe-secret", "--secret-id", name)
    assert shown["VersionIdsToStages"] == {made["VersionId"]: ["AWSCURRENT"], put["VersionId"]: ["AWSPREVIOUS"]}
    assert shown["Tags"] == [{"Key": "team", "Value": "web"}] and shown["Description"] == "the database"
    listed = secrets("list-secrets", "--filters", f"Key=name,Values={name}")
    assert [one["ARN"] for one in listed["SecretList"]] == [arn]
    assert len(secrets("list-secret-version-ids", "--secret-id", name)["Versions"]) == 2
    secrets("delete-secret", "--secret-id", name, "--recovery-window-in-days", "7")
    refused = secrets("get-secret-value", "--secret-id", name, check=False)
    assert "InvalidRequestException" in refused.stderr and "because it was marked for deletion." in refused.stderr
    assert secrets("restore-secret", "--secret-id", name)["ARN"] == arn
    secrets("delete-secret", "--secret-id", name, "--force-delete-without-recovery")
    refused = secrets("get-secret-value", "--secret-id", name, check=False)
    assert "ResourceNotFoundException" in refused.stderr and NOT_FOUND in refused.stderr
    assert len(secrets("get-random-password", "--password-length", "20")["RandomPassword"]) == 20
    elsewhere = ("--add-replica-regions", "Region=eu-west-1")
    refused = secrets("replicate-secret-to-regions", "--secret-id", name, *elsewhere, check=False)
    assert "UnsupportedOperationException" in refused.stderr


def test_the_command_line_encrypts_with_a_key(strict, tmp_path):
    def kms(*words, **options):
        return strict.aws("kms", *words, **options)

    key = kms("create-key", "--description", "mine")["KeyMetadata"]
    assert key["Arn"] == f"arn:aws:kms:{HERE}:key/{key['KeyId']}" and key["KeyState"] == "Enabled"
    alias = f"alias/{unique()}"
    kms("create-alias", "--alias-name", alias, "--target-key-id", key["KeyId"])
    (tmp_path / "plain").write_text("a word")
    context = ["--encryption-context", "app=web"]
    sealed = kms("encrypt", "--key-id", alias, "--plaintext", f"fileb://{tmp_path}/plain", *context)
    (tmp_path / "sealed").write_bytes(base64.b64decode(sealed["CiphertextBlob"]))
    opened = kms("decrypt", "--ciphertext-blob", f"fileb://{tmp_path}/sealed", *context)
    assert base64.b64decode(opened["Plaintext"]) == b"a word" and opened["KeyId"] == key["Arn"]
    refused = kms("decrypt", "--ciphertext-blob", f"fileb://{tmp_path}/sealed", check=False)
    assert "InvalidCiphertextException" in refused.stderr
    data = kms("generate-data-key", "--key-id", alias, "--key-spec", "AES_256")
    assert len(base64.b64decode(data["Plaintext"])) == 32
    kms("schedule-key-deletion", "--key-id", key["KeyId"], "--pending-window-in-days", "7")
    refused = kms("decrypt", "--ciphertext-blob", f"fileb://{tmp_path}/sealed", *context, check=False)
    assert "KMSInvalidStateException" in refused.stderr and "is pending deletion." in refused.stderr


def test_values_survive_a_kill_and_lie_nowhere_in_clear(fresh):
    planted = f"planted-{uuid.uuid4().hex}-secret"
    instance = fresh("--engine", "simulated", env={"LONGSHORE_LOG": "trace", "RUST_LOG": "trace"})
    secrets, kms = instance.client("secretsmanager"), instance.client("kms")
    secrets.create_secret(Name="planted", SecretString=planted)
    secrets.put_secret_value(SecretId="planted", SecretBinary=planted.encode())
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    secrets.update_secret(SecretId="planted", SecretString=planted, KmsKeyId=key)
    sealed = kms.encrypt(KeyId=key, Plaintext=planted.encode())["CiphertextBlob"]
    data = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]
    password = secrets.get_random_password(PasswordLength=60, ExcludePunctuation=True)["RandomPassword"]
    check_refused("ResourceExistsException", "", secrets.create_secret, Name="planted", SecretString=planted)
    check_refused("ResourceNotFoundException", "", secrets.put_secret_value, SecretId="none", SecretString=planted)
    unchecked = instance.client("secretsmanager", parameter_validation=False)
    long = planted * 2000
    check_refused("ValidationException", "65536", unchecked.put_secret_value, SecretId="planted", SecretString=long)
    check_refused("SerializationException", "", unchecked.put_secret_value, SecretId="planted", SecretString=[planted])
    instance.kill()
    instance.start()
    assert secrets.get_secret_value(SecretId="planted")["SecretString"] == planted
    assert secrets.get_secret_value(SecretId="planted", VersionStage="AWSPREVIOUS")["SecretBinary"] == planted.encode()
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == planted.encode()
    batch = secrets.batch_get_secret_value(SecretIdList=["planted"])
    assert batch["SecretValues"][0]["SecretString"] == planted
    described = json.dumps([secrets.describe_secret(SecretId="planted"), secrets.list_secrets()], default=str)
    assert planted not in described
    instance.stop()
    forms = [form for word in (planted.encode(), data, password.encode()) for form in in_clear(word)]
    assert "TRACE" in instance.log_text()
    assert {"state.db", "longshore.log"} <= {path.name for path in files(instance.directory)}
    # The records do lie there: the secret's name is found.
    assert holding([b'"name":"planted"'], instance.directory)
    assert holding(forms, instance.directory) == []


def in_clear(word):
    """A word as it is, in hex, and in base64 wherever it begins."""
    yield word
    yield word.hex().encode()
    for lead in range(3):
        coded = base64.b64encode(b"\0" * lead + word)
        yield coded[4 if lead else 0:-4]


def test_a_user_reads_the_secrets_it_may(strict):
    mine, other = f"app/{unique()}", f"app/{unique()}"
    admin = root(strict).client("secretsmanager")
    for name in (mine, other):
        admin.create_secret(Name=name, SecretString=name, Tags=[{"Key": "of", "Value": name}])
    arn = f"arn:aws:secretsmanager:{HERE}:secret:{mine}-*"
    listing = {"Effect": "Allow", "Action": "secretsmanager:BatchGetSecretValue", "Resource": "*"}
    reading = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn}
    name, bearer = user(strict, {"Version": "2012-10-17", "Statement": [listing, reading]})
    secrets = bearer.client("secretsmanager")
    assert secrets.get_secret_value(SecretId=mine)["SecretString"] == mine
    code, status, told = bearer.refused("secretsmanager", "get_secret_value", SecretId=other)
    whole = admin.describe_secret(SecretId=other)["ARN"]
    assert (code, status) == ("AccessDeniedException", 400)
    assert told == (f"User: arn:aws:iam::{ACCOUNT}:user/{name} is not authorized to perform: secretsmanager:GetSecretValue "
                    f"on resource: {whole} because no identity-based policy allows the secretsmanager:GetSecretValue action")
    assert bearer.refused("secretsmanager", "describe_secret", SecretId=mine)[0] == "AccessDeniedException"
    batch = secrets.batch_get_secret_value(SecretIdList=[mine, other])
    assert [one["SecretString"] for one in batch["SecretValues"]] == [mine]
    assert [(one["SecretId"], one["ErrorCode"]) for one in batch["Errors"]] == [(other, "AccessDeniedException")]
    tagged = {"Condition": {"StringEquals": {"secretsmanager:ResourceTag/of": other}}}
    _, bearer = user(strict, allow("secretsmanager:GetSecretValue", **tagged))
    assert bearer.client("secretsmanager").get_secret_value(SecretId=other)["SecretString"] == other
    assert bearer.refused("secretsmanager", "get_secret_value", SecretId=mine)[0] == "AccessDeniedException"
    stage = {"Condition": {"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}}
    _, bearer = user(strict, allow("secretsmanager:GetSecretValue", **stage))
    current = bearer.client("secretsmanager").get_secret_value(SecretId=mine, VersionStage="AWSCURRENT")
    assert current["SecretString"] == mine
    assert bearer.refused("secretsmanager", "get_secret_value", SecretId=mine)[0] == "AccessDeniedException"


def test_a_secrets_own_policy_gives_and_takes(strict):
    name = unique()
    admin = root(strict).client("secretsmanager")
    admin.create_secret(Name=name, SecretString="word")
    guest, bearer = user(strict)
    arn = f"arn:aws:iam::{ACCOUNT}:user/{guest}"
    assert bearer.refused("secretsmanager", "get_secret_value", SecretId=name)[0] == "AccessDeniedException"
    given = policy(statement("Allow", {"AWS": arn}, "secretsmanager:GetSecretValue"))
    admin.put_resource_policy(SecretId=name, ResourcePolicy=given, BlockPublicPolicy=True)
    assert bearer.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"] == "word"
    _, mighty = user(strict, allow("secretsmanager:*"))
    taken = policy(statement("Deny", "*", "secretsmanager:GetSecretValue"))
    admin.put_resource_policy(SecretId=name, ResourcePolicy=taken)
    for one in (bearer, mighty, root(strict)):
        code, _, told = one.refused("secretsmanager", "get_secret_value", SecretId=name)
        assert code == "AccessDeniedException" and told.endswith("with an explicit deny in a resource-based policy")
    admin.delete_resource_policy(SecretId=name)
    assert mighty.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"] == "word"


def test_a_key_policy_must_allow_by_itself(strict):
    admin = root(strict).client("kms")
    key = admin.create_key()["KeyMetadata"]
    name, bearer = user(strict, allow("kms:*"))
    sealed = bearer.client("kms").encrypt(KeyId=key["KeyId"], Plaintext=b"word")["CiphertextBlob"]
    keeper = statement("Allow", {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "kms:PutKeyPolicy", "kms:DescribeKey")
    admin.put_key_policy(KeyId=key["KeyId"], Policy=policy(keeper))
    for one in (bearer, root(strict)):
        code, _, told = one.refused("kms", "decrypt", CiphertextBlob=sealed)
        assert code == "AccessDeniedException"
        assert told.endswith("because no resource-based policy allows the kms:Decrypt action"), told
    bound = {"Condition": {"StringEquals": {"kms:EncryptionContext:app": "web"}}}
    mine = statement("Allow", {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}, "kms:Encrypt", "kms:Decrypt", **bound)
    admin.put_key_policy(KeyId=key["KeyId"], Policy=policy(keeper, mine))
    kms = bearer.client("kms")
    context = {"app": "web"}
    sealed = kms.encrypt(KeyId=key["Arn"], Plaintext=b"word", EncryptionContext=context)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed, EncryptionContext=context)["Plaintext"] == b"word"
    assert bearer.refused("kms", "encrypt", KeyId=key["Arn"], Plaintext=b"x")[0] == "AccessDeniedException"
    _, other = user(strict, allow("kms:*"))
    assert other.refused("kms", "decrypt", CiphertextBlob=sealed, EncryptionContext=context)[0] == "AccessDeniedException"
    assert other.client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyManager"] == "CUSTOMER"


def test_who_may_make_keys_needs_no_more_for_the_usual_policy(strict):
    name, bearer = user(strict, allow("kms:CreateKey", "kms:Encrypt"))
    kms = bearer.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    assert kms.encrypt(KeyId=key, Plaintext=b"x")["KeyId"].endswith(key)
    keeper = statement("Allow", {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "kms:*")
    told = bearer.refused("kms", "create_key", Policy=policy(keeper))
    assert told[0] == "MalformedPolicyDocumentException" and "update the key policy in the future" in told[2]
    mine = statement("Allow", {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}, "kms:*")
    kms.create_key(Policy=policy(mine))


def test_a_grant_gives_what_it_says_and_no_more(strict):
    admin = root(strict).client("kms")
    key = admin.create_key()["KeyMetadata"]["Arn"]
    sealed = {}
    for app in ("web", "db", "$x"):
        done = admin.encrypt(KeyId=key, Plaintext=b"word", EncryptionContext={"app": app})
        sealed[app] = {"CiphertextBlob": done["CiphertextBlob"], "EncryptionContext": {"app": app}}
    name, bearer = user(strict)
    ann = f"arn:aws:iam::{ACCOUNT}:user/{name}"
    assert bearer.refused("kms", "decrypt", **sealed["web"])[0] == "AccessDeniedException"
    bound = {"EncryptionContextEquals": {"app": "web"}}
    made = admin.create_grant(KeyId=key, GranteePrincipal=ann, Operations=["Decrypt", "DescribeKey"], Constraints=bound)
    kms = bearer.client("kms")
    assert kms.decrypt(**sealed["web"], GrantTokens=[made["GrantToken"]])["Plaintext"] == b"word"
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key
    assert bearer.refused("kms", "decrypt", **sealed["db"])[0] == "AccessDeniedException"
    wider = {"app": "web", "more": "x"}
    other = admin.encrypt(KeyId=key, Plaintext=b"word", EncryptionContext=wider)["CiphertextBlob"]
    told = bearer.refused("kms", "decrypt", CiphertextBlob=other, EncryptionContext=wider)
    assert told[0] == "AccessDeniedException"
    assert bearer.refused("kms", "encrypt", KeyId=key, Plaintext=b"x")[0] == "AccessDeniedException"
    subset = {"EncryptionContextSubset": {"app": "$x"}}
    admin.create_grant(KeyId=key, GranteePrincipal=ann, Operations=["Decrypt"], Constraints=subset)
    assert kms.decrypt(**sealed["$x"])["Plaintext"] == b"word"
    _, stranger = user(strict)
    assert stranger.refused("kms", "decrypt", **sealed["web"])[0] == "AccessDeniedException"
    admin.revoke_grant(KeyId=key, GrantId=made["GrantId"])
    assert bearer.refused("kms", "decrypt", **sealed["web"])[0] == "AccessDeniedException"


def test_a_grant_is_retired_by_whom_it_names_and_by_nobody_else(strict):
    admin = root(strict).client("kms")
    key = admin.create_key()["KeyMetadata"]["Arn"]
    (ann, of_ann), (eve, of_eve), (bob, of_bob) = user(strict), user(strict), user(strict, allow("kms:RetireGrant"))
    arns = {name: f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in (ann, eve, bob)}

    def grant(*operations, **more):
        return admin.create_grant(KeyId=key, GranteePrincipal=arns[ann], Operations=["Decrypt", *operations], **more)

    def denied(bearer, made):
        code, status, told = bearer.refused("kms", "retire_grant", GrantToken=made["GrantToken"])
        assert (code, status) == ("AccessDeniedException", 400) and "kms:RetireGrant" in told

    plain, of_grantee, named = grant(), grant("RetireGrant"), grant(RetiringPrincipal=arns[eve])
    listed = admin.list_retirable_grants(RetiringPrincipal=arns[eve])["Grants"]
    assert [row["GrantId"] for row in listed] == [named["GrantId"]]
    assert of_eve.refused("kms", "list_retirable_grants", RetiringPrincipal=arns[eve])[0] == "AccessDeniedException"
    # A grant says who ends it, and says nothing of the others of its key.
    for bearer, grants in [(of_eve, [plain, of_grantee]), (of_ann, [plain, named])]:
        for made in grants:
            denied(bearer, made)
    # A key policy has no say in it; the account has, by its identity policies, which also deny.
    statement_of_key = statement("Allow", {"AWS": arns[ann]}, "kms:RetireGrant")
    admin.put_key_policy(KeyId=key, Policy=policy(statement("Allow", {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "kms:*"),
                                                 statement_of_key))
    denied(of_ann, plain)
    strict.client("iam").put_user_policy(UserName=eve, PolicyName="p", PolicyDocument=policy(
        {"Effect": "Deny", "Action": "kms:RetireGrant", "Resource": "*"}))
    denied(of_eve, named)
    strict.client("iam").delete_user_policy(UserName=eve, PolicyName="p")
    of_eve.client("kms").retire_grant(GrantToken=named["GrantToken"])
    of_ann.client("kms").retire_grant(KeyId=key, GrantId=of_grantee["GrantId"])
    of_bob.client("kms").retire_grant(GrantToken=plain["GrantToken"])
    assert admin.list_grants(KeyId=key)["Grants"] == []
    for bearer, wanted in [(root(strict), "NotFoundException"), (of_eve, "AccessDeniedException")]:
        assert bearer.refused("kms", "retire_grant", GrantToken=named["GrantToken"])[0] == wanted


def test_a_key_is_rotated_when_somebody_asks_and_opens_what_it_sealed(strict):
    admin = root(strict).client("kms")
    key = admin.create_key()["KeyMetadata"]
    sealed = admin.encrypt(KeyId=key["Arn"], Plaintext=b"word")["CiphertextBlob"]
    _, bearer = user(strict, allow("kms:ListKeyRotations"))
    assert bearer.refused("kms", "rotate_key_on_demand", KeyId=key["KeyId"])[0] == "AccessDeniedException"
    assert admin.rotate_key_on_demand(KeyId=key["KeyId"])["KeyId"] == key["KeyId"]
    pages = bearer.client("kms").get_paginator("list_key_rotations").paginate(
        KeyId=key["KeyId"], IncludeKeyMaterial="ALL_KEY_MATERIAL", PaginationConfig={"PageSize": 1})
    rows = [row for page in pages for row in page["Rotations"]]
    assert [(row.get("RotationType"), row["KeyMaterialState"]) for row in rows] == [
        (None, "NON_CURRENT"), ("ON_DEMAND", "CURRENT")]
    assert rows[1]["RotationDate"] >= key["CreationDate"]
    opened = admin.decrypt(CiphertextBlob=sealed)
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"word", rows[0]["KeyMaterialId"])
    anew = admin.decrypt(CiphertextBlob=admin.encrypt(KeyId=key["Arn"], Plaintext=b"x")["CiphertextBlob"])
    assert anew["KeyMaterialId"] == rows[1]["KeyMaterialId"]


def test_a_secret_under_a_customers_key_needs_both(strict):
    kms, secrets = root(strict).client("kms"), root(strict).client("secretsmanager")
    key, name = kms.create_key()["KeyMetadata"]["Arn"], unique()
    secrets.create_secret(Name=name, SecretString="word", KmsKeyId=key)
    _, bearer = user(strict, allow("secretsmanager:GetSecretValue"))
    code, _, told = bearer.refused("secretsmanager", "get_secret_value", SecretId=name)
    assert code == "AccessDeniedException" and f"to perform: kms:Decrypt on resource: {key}" in told
    via = {"Condition": {"StringEquals": {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}}}
    _, bearer = user(strict, allow("secretsmanager:GetSecretValue"), allow("kms:Decrypt", resource=key, **via))
    assert bearer.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"] == "word"
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert bearer.refused("kms", "decrypt", CiphertextBlob=sealed)[0] == "AccessDeniedException"
    assert bearer.refused("secretsmanager", "put_secret_value", SecretId=name, SecretString="y")[0] == "AccessDeniedException"


def test_the_managed_key_is_used_through_its_service_alone(strict):
    secrets, name = root(strict).client("secretsmanager"), unique()
    secrets.create_secret(Name=name, SecretString="word")
    kms = root(strict).client("kms")
    key = kms.describe_key(KeyId="alias/aws/secretsmanager")["KeyMetadata"]
    assert key["KeyManager"] == "AWS"
    check_refused("AccessDeniedException", "kms:Encrypt", kms.encrypt, KeyId=key["KeyId"], Plaintext=b"x")
    check_refused("AccessDeniedException", "", kms.disable_key, KeyId=key["KeyId"])
    check_refused("AccessDeniedException", "", kms.schedule_key_deletion, KeyId=key["KeyId"])
    _, bearer = user(strict, allow("secretsmanager:*"))
    assert bearer.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"] == "word"


def test_secrets_of_accounts_stay_apart(simulated):
    one, two = simulated.client("secretsmanager", "500000000051"), simulated.client("secretsmanager", "500000000052")
    made = one.create_secret(Name="s", SecretString="one")
    two.create_secret(Name="s", SecretString="two")
    assert two.get_secret_value(SecretId="s")["SecretString"] == "two"
    check_refused("ResourceNotFoundException", NOT_FOUND, two.get_secret_value, SecretId=made["ARN"])
    kms = simulated.client("kms", "500000000051")
    sealed = kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    other = simulated.client("kms", "500000000052")
    check_refused("InvalidCiphertextException", "", other.decrypt, CiphertextBlob=sealed)


def test_pages_and_tokens_of_boto3(simulated):
    secrets = simulated.client("secretsmanager", "500000000053")
    names = [f"s{number:03}" for number in range(25)]
    for name in names:
        secrets.create_secret(Name=name, SecretString=name)
    pages = secrets.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 10}, SortBy="name")
    assert [one["Name"] for page in pages for one in page["SecretList"]] == names
    asked = {"Filters": [{"Key": "name", "Values": ["s"]}]}
    first = secrets.batch_get_secret_value(**asked)
    rest = secrets.batch_get_secret_value(**asked, NextToken=first["NextToken"])
    assert [one["SecretString"] for page in (first, rest) for one in page["SecretValues"]] == names
    token = str(uuid.uuid4())
    first = secrets.create_secret(Name="again", SecretString="x", ClientRequestToken=token)
    again = secrets.create_secret(Name="again", SecretString="x", ClientRequestToken=token)
    assert (first["ARN"], first["VersionId"]) == (again["ARN"], again["VersionId"])
    keys = simulated.client("kms", "500000000053")
    ids = {keys.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)}
    pages = keys.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
    assert ids <= {one["KeyId"] for page in pages for one in page["Keys"]}
