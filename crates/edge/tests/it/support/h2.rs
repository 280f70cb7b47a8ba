//! A client and a target that speak HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use longshore_edge::Edge;
use longshore_link::edge::*;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Task;

pub type Body = BoxBody<Bytes, hyper::Error>;

pub fn full(body: &'static str) -> Body {
    Full::new(Bytes::from_static(body.as_bytes())).map_err(|never| match never {}).boxed()
}

/// Makes the listener one of HTTPS; its certificate.
pub fn secure(configuration: &mut EdgeConfiguration) -> Certificate {
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).expect("a certificate");
    let listener = &mut configuration.balancers[0].listeners[0];
    listener.protocol = ListenerProtocol::Https;
    listener.ssl_policy = Some("ELBSecurityPolicy-TLS13-1-2-2021-06".into());
    listener.certificates.push("c".into());
    let certificate = Certificate { chain: made.cert.pem(), private_key: made.signing_key.serialize_pem() };
    configuration.certificates.insert("c".into(), certificate.clone());
    certificate
}

/// An edge whose listener speaks HTTP/2, and a client that does.
pub async fn client(mut configuration: EdgeConfiguration) -> (Edge, SendRequest<Body>) {
    let certificate = secure(&mut configuration);
    let (edge, to) = super::serve(&configuration).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.chain.as_bytes()).expect("PEM")).expect("a certificate");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(to).await.expect("a connection");
    let name = ServerName::try_from("a.test").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    let (sender, driven) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(driven);
    (edge, sender)
}

/// What a target agrees to by TLS, with a certificate that nobody trusts.
pub fn acceptor(protocols: &[&str]) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["elsewhere.test".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.into()], key);
    let mut config = config.expect("a configuration");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// A target of HTTP/2.
pub struct Backend {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    /// Of these, how many have ended.
    pub ended: Arc<AtomicUsize>,
    _task: Task,
}

impl Backend {
    /// In the clear, or by TLS. After so many requests of one connection it asks for another one.
    pub async fn start(
        tls: Option<TlsAcceptor>,
        most: usize,
        answer: impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (connections, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (counted, over, answer) = (connections.clone(), ended.clone(), Arc::new(answer));
        let task = Task::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                counted.fetch_add(1, Ordering::Relaxed);
                let (tls, answer, over) = (tls.clone(), answer.clone(), over.clone());
                tokio::spawn(async move {
                    match tls {
                        None => converse(stream, most, answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, most, answer).await;
                            }
                        }
                    }
                    over.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, connections, ended, _task: task }
    }

    /// Waits until so many of its connections are open.
    pub async fn until_open(&self, count: usize) {
        let open = || self.connections.load(Ordering::Relaxed) - self.ended.load(Ordering::Relaxed);
        let so = async {
            while open() != count {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(super::PATIENCE, so).await.expect("so many connections");
    }
}

async fn converse<S>(
    stream: S,
    most: usize,
    answer: Arc<impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static>,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let enough = Arc::new(tokio::sync::Semaphore::new(0));
    let count = enough.clone();
    let service = service_fn(move |request| {
        count.add_permits(1);
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let most = u32::try_from(most).expect("a number");
    tokio::select! {
        _ = served.as_mut() => {}
        _ = enough.acquire_many(most) => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

/// A body that is sent as it is given.
pub struct Given(pub mpsc::Receiver<Frame<Bytes>>);

impl hyper::body::Body for Given {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// A body that goes back as it came, and then these trailers.
pub struct Echo(pub Incoming, pub Option<http::HeaderMap>);

impl hyper::body::Body for Echo {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match std::task::ready!(Pin::new(&mut self.0).poll_frame(cx)) {
            None => Poll::Ready(self.1.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            frame => Poll::Ready(frame),
        }
    }
}
