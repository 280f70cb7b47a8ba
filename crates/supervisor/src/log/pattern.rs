//! `awslogs-datetime-format`: a strftime-like format as a regular expression.

/// The expression that finds a moment of this format anywhere in a line.
pub fn from_datetime(format: &str) -> String {
    let mut expression = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            expression.push_str(&regex_lite::escape(character.encode_utf8(&mut [0; 4])));
            continue;
        }
        match characters.next() {
            Some(letter) => expression.push_str(&field(letter)),
            None => expression.push('%'),
        }
    }
    expression
}

/// What one letter after `%` stands for; unknown ones stand for themselves.
fn field(letter: char) -> String {
    let known = match letter {
        'a' => "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
        'A' => "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
        'b' | 'h' => "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
        'B' => "(?:January|February|March|April|May|June|July|August|September|October|November|December)",
        'd' => "(?:0[1-9]|[12][0-9]|3[01])",
        'e' => "(?: [1-9]|[12][0-9]|3[01])",
        'f' => "[0-9]{1,9}",
        'H' => "(?:[01][0-9]|2[0-3])",
        'I' => "(?:0[1-9]|1[0-2])",
        'j' => "(?:[0-2][0-9]{2}|3[0-5][0-9]|36[0-6])",
        'L' => "\\.[0-9]{3}",
        'm' => "(?:0[1-9]|1[0-2])",
        'M' => "[0-5][0-9]",
        'p' => "(?:AM|PM|am|pm)",
        'S' => "(?:[0-5][0-9]|60)",
        'w' => "[0-6]",
        'y' => "[0-9]{2}",
        'Y' => "[0-9]{4}",
        'z' => "(?:Z|[+-][0-9]{2}:?[0-9]{2})",
        'Z' => "[A-Z]{2,5}",
        'F' => "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])",
        'T' => "(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)",
        '%' => "%",
        other => return regex_lite::escape(&format!("%{other}")),
    };
    known.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_find_their_moments() {
        let rows = [
            ("%Y-%m-%d %H:%M:%S", "2025-01-31 23:59:59 hello", true),
            ("%Y-%m-%d %H:%M:%S", "2025-13-31 23:59:59", false),
            ("%Y-%m-%d %H:%M:%S", "\tat java.lang.Thread", false),
            ("[%b %d, %Y %H:%M:%S]", "[Jan 05, 2025 01:02:03] x", true),
            ("%H:%M:%S%L", "12:00:00.123", true),
            ("%A %p %Z", "Monday PM CEST", true),
            ("%Y-%m-%dT%H:%M:%S%z", "2025-01-31T23:59:59+0100", true),
            ("100%% (%d)", "100% (07)", true),
            ("%", "%", true),
            ("%q", "a%q", true),
        ];
        for (format, line, expected) in rows {
            let pattern = regex_lite::Regex::new(&from_datetime(format)).unwrap();
            assert_eq!(pattern.is_match(line), expected, "{format} in {line:?}");
        }
    }
}
