//! A layer, to a peer that does not have it: from another of its repositories, or in pieces, going on where a connection
//! broke, in the same try or in the next.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{Method, StatusCode};
use longshore_model::registry::Digest;
use longshore_store::blobs::{self, READ, Reader};
use reqwest::{Response, Url};

use super::peers::Begun;
use super::push::{Failure, Push, aside};
use crate::remote::{Ask, Error};

/// Bytes of one request.
const PIECE: u64 = 16 * 1024 * 1024;

/// How often an upload goes on after a connection broke without having come further.
const ATTEMPTS: usize = 3;

/// Before it does.
const PAUSE: Duration = Duration::from_secs(1);

impl Push<'_> {
    /// A layer that the peer is to have.
    pub(super) async fn blob(&self, layer: &Digest) -> Result<(), Failure> {
        match self.remote.ask(&self.ask(Method::HEAD, &format!("blobs/{layer}"))?).await {
            Ok(_) => return Ok(()),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let (blobs, wanted) = (self.bytes()?, layer.clone());
        let reader = Arc::new(aside(move || blobs.reader(&wanted)).await?);
        let (url, at) = match self.begun(layer).await {
            Some(begun) => begun,
            None => match self.begin(layer).await? {
                Some(url) => (url, 0),
                None => return Ok(()),
            },
        };
        let sent = self.send(layer, &url, &reader, at).await;
        if !matches!(&sent, Err(Failure::Remote(error)) if error.passes()) {
            self.peer.begun.lock().take();
        }
        sent
    }

    async fn send(&self, layer: &Digest, url: &Url, reader: &Arc<Reader>, at: u64) -> Result<(), Failure> {
        self.pieces(url, reader, at).await?;
        let mut ask = self.at(Method::PUT, url.clone());
        ask.url.query_pairs_mut().append_pair("digest", layer.as_str());
        self.remote.ask(&ask).await?;
        Ok(())
    }

    /// The upload of this layer that an earlier try did not finish, and how far it has come. Any other is ended.
    async fn begun(&self, layer: &Digest) -> Option<(Url, u64)> {
        let Begun { repository, layer: of, url } = self.peer.begun.lock().clone()?;
        if repository == self.repository.name && of == *layer {
            return self.come(&url).await.map(|at| (url, at));
        }
        self.peer.begun.lock().take();
        let _ = self.remote.ask(&self.at(Method::DELETE, url)).await;
        None
    }

    /// Begins an upload; `None` where the peer takes the layer from another repository.
    async fn begin(&self, layer: &Digest) -> Result<Option<Url>, Failure> {
        let mut ask = self.ask(Method::POST, "blobs/uploads/")?;
        if let Some(from) = self.beside(layer) {
            ask.url.query_pairs_mut().append_pair("mount", layer.as_str()).append_pair("from", &from);
        }
        let begun = self.remote.ask(&ask).await?;
        match begun.status() {
            StatusCode::CREATED => Ok(None),
            _ => {
                let url = self.location(&begun)?;
                let (repository, layer) = (self.repository.name.clone(), layer.clone());
                *self.peer.begun.lock() = Some(Begun { repository, layer, url: url.clone() });
                Ok(Some(url))
            }
        }
    }

    /// Where an upload goes: to the peer itself.
    fn location(&self, answer: &Response) -> Result<Url, Error> {
        let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        self.remote.url(location.unwrap_or("https://nowhere.invalid/"))
    }

    async fn pieces(&self, url: &Url, reader: &Arc<Reader>, mut at: u64) -> Result<(), Failure> {
        let mut failures = 0;
        while at < reader.size() {
            let end = reader.size().min(at + PIECE);
            match self.piece(url, reader, at, end).await {
                Ok(()) => (at, failures) = (end, 0),
                Err(error) if failures < ATTEMPTS && may_go_on(&error) => {
                    tokio::time::sleep(PAUSE).await;
                    let come = self.come(url).await.unwrap_or(at);
                    failures = if come > at { 0 } else { failures + 1 };
                    at = come.min(reader.size());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn piece(&self, url: &Url, reader: &Arc<Reader>, at: u64, end: u64) -> Result<(), Error> {
        let mut ask = self.at(Method::PATCH, url.clone());
        ask.headers.push((CONTENT_TYPE, "application/octet-stream".to_owned()));
        ask.headers.push((CONTENT_RANGE, format!("{at}-{}", end - 1)));
        ask.headers.push((CONTENT_LENGTH, (end - at).to_string()));
        self.remote.pour(&ask, reqwest::Body::wrap_stream(bytes(reader.clone(), at, end))).await.map(drop)
    }

    /// How many bytes of an upload have come.
    async fn come(&self, url: &Url) -> Option<u64> {
        let answer = self.remote.ask(&self.at(Method::GET, url.clone())).await.ok()?;
        received(answer.headers().get(RANGE)?.to_str().ok()?)
    }

    fn at(&self, method: Method, url: Url) -> Ask<'static> {
        self.asked(method, url, "the upload".to_owned())
    }
}

/// Whether the peer may have the rest of the upload still to come.
fn may_go_on(error: &Error) -> bool {
    let is_busy = |status: &StatusCode| matches!(*status, StatusCode::CONFLICT | StatusCode::RANGE_NOT_SATISFIABLE);
    error.passes() || matches!(error, Error::Status { status, .. } if is_busy(status))
}

/// `0-9`: ten. `0-0` is of one byte or of none; none is sent again.
fn received(range: &str) -> Option<u64> {
    match range.strip_prefix("0-")?.parse().ok()? {
        0 => Some(0),
        last => u64::checked_add(last, 1),
    }
}

/// The bytes of a layer between two places, one part in memory at a time.
fn bytes(reader: Arc<Reader>, at: u64, end: u64) -> impl Stream<Item = Result<Bytes, Failure>> + Send + 'static {
    stream::try_unfold(at, move |at| {
        let reader = reader.clone();
        async move {
            if at == end {
                return Ok(None);
            }
            let part = aside(move || reader.read(at, (end - at).min(READ as u64))).await?;
            match part.len() as u64 {
                0 => Err(Failure::Local(blobs::Error::Missing)),
                length => Ok(Some((part, at + length))),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_how_much_has_come() {
        for (range, wanted) in [("0-9", Some(10)), ("0-0", Some(0)), ("1-9", None), ("0-", None), ("", None)] {
            assert_eq!(received(range), wanted, "{range}");
        }
        assert_eq!(received(&format!("0-{}", u64::MAX)), None);
    }
}
