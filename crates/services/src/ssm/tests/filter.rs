//! What lies below a path, what filters take, and pages.

use super::*;

fn world() -> Bench {
    let bench = Bench::new();
    for name in ["/a", "/a/b", "/a/b/c", "/a/d", "/ab/x", "plain"] {
        put(&bench, name, "String", name);
    }
    put(&bench, "/a/s", "SecureString", "secret");
    bench
}

#[test]
fn a_path_has_children_and_descendants() {
    let bench = world();
    let below = |path: &str, recursive: bool| {
        let answer = ok(&bench, "GetParametersByPath", json!({"Path": path, "Recursive": recursive}));
        names(&answer["Parameters"]).iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(below("/a", false), ["/a/b", "/a/d", "/a/s"]);
    assert_eq!(below("/a/", false), ["/a/b", "/a/d", "/a/s"]);
    assert_eq!(below("/a", true), ["/a/b", "/a/b/c", "/a/d", "/a/s"]);
    assert_eq!(below("/", false), ["/a", "plain"]);
    assert_eq!(below("/", true), ["/a", "/a/b", "/a/b/c", "/a/d", "/a/s", "/ab/x", "plain"]);
    assert_eq!(below("/none", true), [""; 0]);
    let clear = ok(&bench, "GetParametersByPath", json!({"Path": "/a", "WithDecryption": true}));
    assert_eq!(clear["Parameters"][2]["Value"], "secret");
    ok(&bench, "LabelParameterVersion", json!({"Name": "/a/d", "Labels": ["live"]}));
    put(&bench, "/a/d", "String", "newer");
    let labelled = json!({"Path": "/a", "ParameterFilters": [{"Key": "Label", "Values": ["live"]}]});
    let answer = ok(&bench, "GetParametersByPath", labelled);
    assert_eq!((names(&answer["Parameters"]), &answer["Parameters"][0]["Version"]), (vec!["/a/d"], &json!(1)));
}

#[test]
fn pages_follow_each_other_and_their_tokens_are_their_own() {
    let bench = Bench::new();
    let wanted: Vec<String> = (0..25).map(|number| format!("/p/{number:02}")).collect();
    wanted.iter().for_each(|name| assert_eq!(put(&bench, name, "String", "v"), 1));
    let mut found = Vec::new();
    let mut token = Value::Null;
    loop {
        let page = ok(&bench, "GetParametersByPath", json!({"Path": "/p", "NextToken": token}));
        found.extend(names(&page["Parameters"]).iter().map(|name| name.to_string()));
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(found, wanted);
    let page = ok(&bench, "DescribeParameters", json!({"MaxResults": 20}));
    assert_eq!(page["Parameters"].as_array().unwrap().len(), 20);
    let rest = ok(&bench, "DescribeParameters", json!({"MaxResults": 20, "NextToken": page["NextToken"]}));
    assert_eq!(names(&rest["Parameters"]), ["/p/20", "/p/21", "/p/22", "/p/23", "/p/24"]);
    for (operation, input) in [
        ("DescribeParameters", json!({"NextToken": "forged"})),
        ("GetParametersByPath", json!({"Path": "/p", "NextToken": page["NextToken"]})),
        ("GetParameterHistory", json!({"Name": "/p/00", "NextToken": page["NextToken"]})),
        (
            "DescribeParameters",
            json!({"NextToken": page["NextToken"], "ParameterFilters": [{"Key": "Type", "Values": ["String"]}]}),
        ),
    ] {
        assert!(fault(&bench, operation, input).starts_with("InvalidNextToken"), "{operation}");
    }
}

#[test]
fn filters_take_what_they_say() {
    let bench = world();
    ok(
        &bench,
        "AddTagsToResource",
        json!({"ResourceType": "Parameter", "ResourceId": "/a/d", "Tags": [{"Key": "team", "Value": "web"}]}),
    );
    let rows = [
        (json!({"Key": "Name", "Values": ["plain"]}), vec!["plain"]),
        (json!({"Key": "Name", "Values": ["a/b"]}), vec!["/a/b"]),
        (json!({"Key": "Name", "Option": "BeginsWith", "Values": ["/a/b"]}), vec!["/a/b", "/a/b/c"]),
        (json!({"Key": "Name", "Option": "Contains", "Values": ["ab", "ain"]}), vec!["/ab/x", "plain"]),
        (json!({"Key": "Type", "Values": ["SecureString", "StringList"]}), vec!["/a/s"]),
        (json!({"Key": "Type", "Option": "BeginsWith", "Values": ["SecureString"]}), vec!["/a/s"]),
        (json!({"Key": "KeyId", "Option": "BeginsWith", "Values": ["alias/aws"]}), vec!["/a/s"]),
        (json!({"Key": "Path", "Values": ["/a/b"]}), vec!["/a/b/c"]),
        (json!({"Key": "Path", "Option": "Recursive", "Values": ["/a/b", "/ab"]}), vec!["/a/b/c", "/ab/x"]),
        (json!({"Key": "Tier", "Values": ["Advanced"]}), vec![]),
        (json!({"Key": "DataType", "Values": ["aws:ec2:image"]}), vec![]),
        (json!({"Key": "tag:team"}), vec!["/a/d"]),
        (json!({"Key": "tag:team", "Values": ["app", "web"]}), vec!["/a/d"]),
        (json!({"Key": "tag:team", "Values": ["app"]}), vec![]),
    ];
    for (filter, wanted) in rows {
        let answer = ok(&bench, "DescribeParameters", json!({"ParameterFilters": [filter]}));
        assert_eq!(names(&answer["Parameters"]), wanted, "{filter}");
    }
    let both = json!({"ParameterFilters": [{"Key": "Path", "Values": ["/a"]}, {"Key": "Type", "Values": ["String"]}]});
    assert_eq!(names(&ok(&bench, "DescribeParameters", both)["Parameters"]), ["/a/b", "/a/d"]);
    let older = json!({"Filters": [{"Key": "Name", "Values": ["/a/b"]}]});
    assert_eq!(names(&ok(&bench, "DescribeParameters", older)["Parameters"]), ["/a/b", "/a/b/c"]);
    assert_eq!(ok(&bench, "DescribeParameters", json!({"Shared": true})), json!({"Parameters": []}));
}
