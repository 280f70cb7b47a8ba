//! From a model's names to Rust's.

/// `EFSVolumeConfiguration` -> `EfsVolumeConfiguration`.
pub fn upper_camel(name: &str) -> String {
    let camel: String = words(name).iter().map(|word| capitalise(word)).collect();
    match camel.chars().next() {
        Some(first) if first.is_ascii_digit() => format!("V{camel}"),
        Some(_) if camel == "Self" => "SelfValue".to_owned(),
        Some(_) => camel,
        None => "Empty".to_owned(),
    }
}

/// `enableECSManagedTags` -> `enable_ecs_managed_tags`, with `r#` before keywords.
pub fn snake(name: &str) -> String {
    let snake = words(name).join("_");
    if KEYWORDS.contains(&snake.as_str()) { format!("r#{snake}") } else { snake }
}

/// `enableECSManagedTags` -> `ENABLE_ECS_MANAGED_TAGS`.
pub fn screaming(name: &str) -> String {
    words(name).join("_").to_uppercase()
}

const KEYWORDS: &[&str] = &[
    "as", "async", "await", "break", "const", "continue", "dyn", "else", "enum", "extern", "false", "fn", "for", "if",
    "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "static", "struct", "trait",
    "true", "type", "unsafe", "use", "where", "while", "abstract", "become", "box", "do", "final", "macro", "override",
    "priv", "typeof", "unsized", "virtual", "yield", "try", "gen",
];

/// The lower-case words of a name: split at punctuation, before a capital after a small letter or digit, and before the
/// last capital of a run (`EFSVolume` is `efs volume`, but `ARNs` is one word).
fn words(name: &str) -> Vec<String> {
    let name = name.replace("IPv4", "Ipv4").replace("IPv6", "Ipv6").replace("VPCs", "Vpcs");
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (index, &letter) in letters.iter().enumerate() {
        if !letter.is_ascii_alphanumeric() {
            words.push(String::new());
            continue;
        }
        if index > 0 && begins_word(&letters, index) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(letter.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn begins_word(letters: &[char], index: usize) -> bool {
    let (previous, current) = (letters[index - 1], letters[index]);
    if !current.is_ascii_uppercase() {
        return false;
    }
    if previous.is_ascii_lowercase() {
        return true;
    }
    let next = letters.get(index + 1).copied().unwrap_or(' ');
    let plural = next == 's' && !letters.get(index + 2).is_some_and(char::is_ascii_lowercase);
    next.is_ascii_lowercase() && !(plural && previous.is_ascii_uppercase())
}

fn capitalise(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_rusts_own() {
        for (name, camel, snake_case) in [
            ("EFSVolumeConfiguration", "EfsVolumeConfiguration", "efs_volume_configuration"),
            ("enableECSManagedTags", "EnableEcsManagedTags", "enable_ecs_managed_tags"),
            ("type", "Type", "r#type"),
            ("taskARNs", "TaskArns", "task_arns"),
            ("privateIPv4Address", "PrivateIpv4Address", "private_ipv4_address"),
            ("FARGATE_SPOT", "FargateSpot", "fargate_spot"),
            ("t2.micro", "T2Micro", "t2_micro"),
            ("s3Bucket", "S3Bucket", "s3_bucket"),
            ("1.3", "V13", "1_3"),
        ] {
            assert_eq!((upper_camel(name).as_str(), snake(name).as_str()), (camel, snake_case), "{name}");
        }
    }
}
