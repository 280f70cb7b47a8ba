//! What may not be, and AWS's words for it.

use super::*;

const FORM: &str =
    "ValidationException: Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path";

#[test]
fn names_that_may_not_be_are_refused() {
    let bench = Bench::new();
    let reserved = "ValidationException: Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).";
    let (deep, long) = ("/x".repeat(16), "x".repeat(1000));
    let rows = [
        ("aws-x", reserved),
        ("/AWS", reserved),
        ("SsmX", reserved),
        ("/aws/x", "AccessDeniedException: No access to reserved parameter name: /aws/x."),
        ("/ssm/x", FORM),
        ("a b", FORM),
        ("a/b", FORM),
        ("/a//b", FORM),
        ("/a/b/", FORM),
        ("/", FORM),
        ("/a/../b\u{202e}", FORM),
        ("a:1", FORM),
        ("arn:aws:ssm:us-east-1:123456789012:parameter/a", FORM),
        (&deep, "HierarchyLevelLimitExceededException: A parameter name hierarchy can have a maximum of 15 levels."),
        (&long, "ValidationException: Parameter name: can't be longer than 1011 characters"),
        ("", "ValidationException: 1 validation error detected: Value '' at 'name' failed to satisfy constraint"),
    ];
    for (name, wanted) in rows {
        let told = fault(&bench, "PutParameter", json!({"Name": name, "Type": "String", "Value": "v"}));
        assert!(told.starts_with(wanted), "{name}: {told}");
    }
    put(&bench, &"/x".repeat(15), "String", "v");
    put(&bench, "/a/../b", "String", "dots are letters like others");
    assert!(bench.store.read().parameters.len() == 2);
}

#[test]
fn requests_that_contradict_themselves_are_refused() {
    let bench = Bench::new();
    put(&bench, "there", "String", "v");
    let expiration = r#"{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2030-01-01T00:00:00Z"}}"#;
    let twice = format!("[{expiration},{expiration}]");
    let change = r#"{"Type":"NoChangeNotification","Version":"1.0","Attributes":{"After":"1","Unit":"Days"}}"#;
    let many = format!("[{}]", [change; 11].join(","));
    let policies = |text: &str| json!({"Tier": "Advanced", "Policies": text});
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    let rows = [
        (json!({"Type": null}), "ValidationException: A parameter type is required when you create a parameter."),
        (json!({"Type": "Number"}), "ValidationException: 1 validation error detected: Value 'Number' at 'type'"),
        (json!({"Value": ""}), "ValidationException: 1 validation error detected: Value '' at 'value'"),
        (json!({"Value": null}), "ValidationException: 1 validation error detected: Value null at 'value'"),
        (json!({"KeyId": "k"}), "ValidationException: KeyId is required for SecureString type parameter only."),
        (
            json!({"DataType": "Text"}),
            "ValidationException: The following data type is not supported: Text (Data type names",
        ),
        (json!({"AllowedPattern": "["}), "InvalidAllowedPatternException: "),
        (json!({"AllowedPattern": "(a{1000}){1000}"}), "InvalidAllowedPatternException: "),
        (json!({"AllowedPattern": "x"}), "ParameterPatternMismatchException: Parameter value, cannot be validated"),
        (
            json!({"Type": "StringList", "Value": "a,1", "AllowedPattern": "[a-z]"}),
            "ParameterPatternMismatchException: ",
        ),
        (json!({"Tags": [{"Key": "aws:x", "Value": ""}]}), "ValidationException: aws: prefixed tag key names"),
        (json!({"Tags": [{"Key": "x", "Value": ""}, {"Key": "x", "Value": ""}]}), "ValidationException: Duplicate tag"),
        (
            json!({"Tags": [{"Key": "x", "Value": ""}], "Overwrite": true}),
            "ValidationException: Invalid request: tags and",
        ),
        (
            json!({"Policies": format!("[{expiration}]")}),
            "ValidationException: Parameter policies can only be attached",
        ),
        (policies("{"), "ValidationException: Invalid policies input"),
        (policies(&deep), "ValidationException: Invalid policies input"),
        (policies("[1]"), "InvalidPolicyTypeException: The policy type isn't supported."),
        (policies(r#"[{"Type":"Other"}]"#), "InvalidPolicyTypeException: "),
        (
            policies(r#"[{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"soon"}}]"#),
            "InvalidPolicyAttribute",
        ),
        (
            policies(r#"[{"Type":"Expiration","Version":"2","Attributes":{"Timestamp":"2030-01-01T00:00:00Z"}}]"#),
            "InvalidPolicyAttribute",
        ),
        (
            policies(r#"[{"Type":"NoChangeNotification","Version":"1.0","Attributes":{"After":"0","Unit":"Days"}}]"#),
            "InvalidPolicyAttribute",
        ),
        (policies(&twice), "IncompatiblePolicyException: There is a conflict in the policies"),
        (policies(&many), "PoliciesLimitExceededException: You specified more than the maximum"),
        (
            json!({"Name": "there"}),
            "ParameterAlreadyExists: The parameter already exists. To overwrite this value, set the",
        ),
        (json!({"Name": "there", "Type": "SecureString", "Overwrite": true}), "HierarchyTypeMismatchException: "),
    ];
    for (more, wanted) in rows {
        let mut input = json!({"Name": "new", "Type": "String", "Value": "v"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = fault(&bench, "PutParameter", input);
        assert!(told.starts_with(wanted), "{more}: {told}");
    }
    assert_eq!(bench.store.read().parameter_versions.len(), 1);
}

#[test]
fn what_is_sought_wrongly_is_refused() {
    let bench = Bench::new();
    put(&bench, "there", "String", "v");
    let filters = |filter: Value| json!({"ParameterFilters": [filter]});
    let by_path = |filter: Value| json!({"Path": "/", "ParameterFilters": [filter]});
    let twice = json!([{"Key": "Name", "Values": ["a"]}, {"Key": "Name", "Values": ["b"]}]);
    let tags: Vec<_> = (0..51).map(|number| json!({"Key": format!("k{number}"), "Value": ""})).collect();
    let rows = [
        ("GetParameter", json!({"Name": "none"}), "ParameterNotFound: "),
        ("GetParameter", json!({"Name": "{x}"}), FORM),
        (
            "GetParameter",
            json!({"Name": "a:1:2"}),
            "ValidationException: Invalid parameter name. Please use correct syntax",
        ),
        ("GetParameter", json!({"Name": "a:"}), "ValidationException: Invalid parameter name."),
        ("GetParameter", json!({"Name": "there:2"}), "ParameterVersionNotFound: "),
        ("GetParameter", json!({"Name": "there:99999999999999999999"}), "ParameterVersionNotFound: "),
        ("GetParameter", json!({"Name": "arn:aws:ssm:us-east-1:999999999999:parameter/there"}), "ParameterNotFound: "),
        ("GetParameter", json!({"Name": "arn:aws:s3:::parameter/there"}), FORM),
        ("GetParameter", json!({"Name": "x".repeat(2049)}), "ValidationException: 1 validation error detected"),
        ("GetParameters", json!({"Names": []}), "ValidationException: 1 validation error detected"),
        ("GetParameterHistory", json!({"Name": "there:1"}), FORM),
        ("DeleteParameter", json!({"Name": "there:1"}), FORM),
        (
            "GetParametersByPath",
            json!({"Path": "a"}),
            "ValidationException: The parameter doesn't meet the parameter name",
        ),
        ("GetParametersByPath", json!({"Path": "/a//b"}), "ValidationException: The parameter doesn't meet"),
        (
            "GetParametersByPath",
            json!({"Path": "/", "MaxResults": 11}),
            "ValidationException: 1 validation error detected",
        ),
        (
            "GetParametersByPath",
            by_path(json!({"Key": "Name", "Values": ["a"]})),
            "InvalidFilterKey: The following filter key is not valid: Name. Valid filter keys include: [Type, KeyId, Label,",
        ),
        ("DescribeParameters", filters(json!({"Key": "Label", "Values": ["a"]})), "InvalidFilterKey: "),
        (
            "DescribeParameters",
            filters(json!({"Key": "Odd", "Values": ["a"]})),
            "ValidationException: 1 validation error",
        ),
        (
            "DescribeParameters",
            filters(json!({"Key": "Path", "Option": "Equals", "Values": ["/a"]})),
            "InvalidFilterOption: The following filter option is not valid: Equals. Valid options include: [Recursive, OneLevel].",
        ),
        (
            "DescribeParameters",
            filters(json!({"Key": "Type", "Values": ["Number"]})),
            "InvalidFilterValue: The following filter value is not valid: Number. Valid values include: [String, StringList, ",
        ),
        (
            "DescribeParameters",
            filters(json!({"Key": "Name"})),
            "InvalidFilterValue: The following filter values are missing : null for filter key Name",
        ),
        (
            "DescribeParameters",
            filters(json!({"Key": "Path", "Values": ["/ssm/x"]})),
            "ValidationException: Filters for common parameters can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).",
        ),
        (
            "DescribeParameters",
            json!({"ParameterFilters": twice}),
            "ValidationException: The following filter is duplicated",
        ),
        (
            "DescribeParameters",
            json!({"Filters": [{"Key": "Name", "Values": ["a"]}], "ParameterFilters": [{"Key": "Name", "Values": ["a"]}]}),
            "ValidationException: You can use either Filters or ParameterFilters in a single request.",
        ),
        ("DescribeParameters", json!({"MaxResults": 51}), "ValidationException: 1 validation error detected"),
        (
            "LabelParameterVersion",
            json!({"Name": "there", "ParameterVersion": 7, "Labels": ["a"]}),
            "ParameterVersionNotFound: ",
        ),
        ("LabelParameterVersion", json!({"Name": "none", "Labels": ["a"]}), "ParameterNotFound: "),
        (
            "AddTagsToResource",
            json!({"ResourceType": "Parameter", "ResourceId": "none", "Tags": []}),
            "InvalidResourceId: The resource ID \"none\" is not valid. Verify the ID and try again.",
        ),
        ("ListTagsForResource", json!({"ResourceType": "Document", "ResourceId": "there"}), "InvalidResourceType: "),
        (
            "AddTagsToResource",
            json!({"ResourceType": "Parameter", "ResourceId": "there", "Tags": tags}),
            "TooManyTagsError: ",
        ),
    ];
    for (operation, input, wanted) in rows {
        let told = fault(&bench, operation, input.clone());
        assert!(told.starts_with(wanted), "{operation} {input}: {told}");
    }
}

#[test]
fn a_secret_is_in_no_refusal() {
    let bench = Bench::new();
    let secret = "planted-secret";
    for more in [
        json!({"AllowedPattern": "x"}),
        json!({"Type": "Odd"}),
        json!({"Name": "a b"}),
        json!({"Value": secret.repeat(1000)}),
        json!({"Tier": "Odd"}),
    ] {
        let mut input = json!({"Name": "new", "Type": "SecureString", "Value": secret});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert!(!fault(&bench, "PutParameter", input).contains(secret), "{more}");
    }
}

#[test]
fn tags_are_added_and_removed() {
    let bench = Bench::new();
    put(&bench, "/a/b", "String", "v");
    let of = |more: Value| {
        let mut input = json!({"ResourceType": "Parameter", "ResourceId": "/a/b"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    ok(&bench, "AddTagsToResource", of(json!({"Tags": [{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "1"}]})));
    ok(&bench, "AddTagsToResource", of(json!({"Tags": [{"Key": "a", "Value": "3"}]})));
    ok(&bench, "RemoveTagsFromResource", of(json!({"TagKeys": ["b", "none"]})));
    assert_eq!(ok(&bench, "ListTagsForResource", of(json!({}))), json!({"TagList": [{"Key": "a", "Value": "3"}]}));
}
