//! A request as text.

use http::request::Parts;

/// A request, taken apart no further than its text has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    pub method: String,
    pub target: String,
    /// Names in lower case; continued lines joined by a space.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Raw {
    pub fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
        let mut lines = head.lines();
        let line = lines.next()?;
        let (method, rest) = line.split_once(' ')?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            match (line.strip_prefix([' ', '\t']), line.split_once(':')) {
                (Some(rest), _) => {
                    let (_, value) = headers.last_mut()?;
                    *value = format!("{value} {rest}");
                }
                (None, Some((name, value))) => headers.push((name.to_lowercase(), value.trim().to_owned())),
                (None, None) => return None,
            }
        }
        let target = rest.strip_suffix(" HTTP/1.1")?.to_owned();
        Some(Raw { method: method.to_owned(), target, headers, body: body.to_owned() })
    }

    /// The head, as an HTTP server reads it; `None` where a server would not.
    pub fn head(&self) -> Option<Parts> {
        let request = http::Request::builder().method(self.method.as_str()).uri(self.target.as_str());
        let headers = self.headers.iter();
        let request = headers.fold(request, |request, (name, value)| request.header(name.as_str(), value.as_bytes()));
        Some(request.body(()).ok()?.into_parts().0)
    }
}
