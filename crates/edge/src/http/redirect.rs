//! Where a redirect leads. Pure.

use longshore_link::edge::Redirect;

/// What a redirect takes from the request.
#[derive(Clone, Copy, Debug)]
pub struct From<'r> {
    /// `http` or `https`.
    pub protocol: &'r str,
    pub host: &'r str,
    pub port: u16,
    pub path: &'r str,
    pub query: &'r str,
}

/// The location: always with the port, as AWS has it, and with `?` if there is a query.
pub fn location(redirect: &Redirect, from: &From<'_>) -> String {
    let fill = |text: &str| fill(text, from);
    let protocol = fill(&redirect.protocol).to_ascii_lowercase();
    let (host, port, path, query) =
        (fill(&redirect.host), fill(&redirect.port), fill(&redirect.path), fill(&redirect.query));
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{protocol}://{host}:{port}{path}{mark}{query}")
}

/// Puts the request's parts where they are named; what is put is not looked at again.
fn fill(text: &str, from: &From<'_>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("#{") {
        filled.push_str(before);
        let Some((name, more)) = after.split_once('}') else {
            filled.push_str("#{");
            rest = after;
            continue;
        };
        match name {
            "protocol" => filled.push_str(from.protocol),
            "host" => filled.push_str(from.host),
            "port" => filled.push_str(&from.port.to_string()),
            "path" => filled.push_str(from.path.strip_prefix('/').unwrap_or(from.path)),
            "query" => filled.push_str(from.query),
            _ => filled.extend(["#{", name, "}"]),
        }
        rest = more;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: From<'_> = From { protocol: "http", host: "shop.example", port: 80, path: "/a/#{host}", query: "b=c" };

    #[test]
    fn parts_of_the_request_go_where_they_are_named() {
        let plain = Redirect::default();
        let secure = Redirect { protocol: "HTTPS".into(), port: "443".into(), ..plain.clone() };
        let moved =
            Redirect { host: "new.#{host}".into(), path: "/v2/#{path}".into(), query: String::new(), ..plain.clone() };
        let odd = Redirect { path: "/#{what}#{".into(), query: "from=#{path}&#{query}".into(), ..plain.clone() };
        for (redirect, expected) in [
            (plain, "http://shop.example:80/a/#{host}?b=c"),
            (secure, "https://shop.example:443/a/#{host}?b=c"),
            (moved, "http://new.shop.example:80/v2/a/#{host}"),
            (odd, "http://shop.example:80/#{what}#{?from=a/#{host}&b=c"),
        ] {
            assert_eq!(location(&redirect, &FROM), expected);
        }
    }
}
