//! The read-only HTTP server: binds the address, bounds its connections, and speaks TLS where that is configured.
//!
//! It has a thread of its own, so that a daemon whose loop stands still says so.

mod gate;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::{Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;
use tower_http::compression::CompressionLayer;
use tracing::{info, warn};

use self::gate::{Gate, Names};
use crate::config::Config;
use crate::daemon::{Backoff, Daemon};
use crate::model::shortfall::Part;
use crate::os::restart;
use crate::serve::connection_limit::ConnectionLimit;
use crate::serve::web_config::{WebConfig, WebConfigError, WebConfigFile};

/// Where and how to answer.
#[derive(Clone, Debug)]
pub struct Site {
    address: SocketAddr,
    /// Names of this machine by which clients ask, besides its own.
    names: Vec<String>,
    /// The file with TLS and users.
    web: Option<PathBuf>,
}

impl Site {
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            address: config.listen,
            names: config.listen_names.clone(),
            web: config.web_config.clone(),
        }
    }
}

/// A bound address, and the file that says who may ask there.
pub struct Bound {
    listener: TcpListener,
    web: Option<WebConfigFile>,
}

impl Bound {
    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> Option<String> {
        let address = self.listener.local_addr().ok()?;
        let has_tls = |file: &WebConfigFile| file.has_tls();
        let scheme = if self.web.as_ref().is_some_and(has_tls) {
            "https"
        } else {
            "http"
        };
        Some(format!("{scheme}://{address}{path}"))
    }
}

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "cannot listen on {address}: {cause}. Another program may use it (`ss -ltnp` shows which); choose another \
         address with --listen or `listen` in the configuration"
    )]
    Bind {
        address: SocketAddr,
        cause: std::io::Error,
    },
    #[error(transparent)]
    Web(#[from] WebConfigError),
}

impl ListenError {
    /// What is missing, and what becomes of it.
    fn shortfall(&self) -> String {
        match self {
            Self::Bind { address, cause }
                if cause.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                let port = address.port();
                format!(
                    "NO METRICS: {self}. A running geofence may not bind port {port}, because it has given up \
                     CAP_NET_BIND_SERVICE: restart it with {} when the address is free, or choose a port above 1023",
                    restart::how()
                )
            }
            Self::Bind { .. } | Self::Web(_) => {
                format!("NO METRICS, geofence keeps trying: {self}")
            }
        }
    }
}

/// Binds the address, before anything is attached. A listener whose users or certificates cannot be read is not opened.
///
/// # Errors
/// Why it cannot.
pub async fn listen(site: &Site) -> Result<Bound, ListenError> {
    let web = site.web.as_deref().map(WebConfigFile::open).transpose()?;
    let address = site.address;
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|cause| ListenError::Bind { address, cause })?;
    Ok(Bound { listener, web })
}

/// How many clients are connected at once; more than ever scrape, and few enough to cost little.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last, also when the client does not read its answer.
const CONNECTION_MAX: Duration = Duration::from_secs(30);
/// The longest head of a request. Answers have no limit.
const BUFFER_BYTES_MAX: usize = 16 << 10;

/// Tries until the address is bound, and serves until the task is dropped.
pub async fn bind_and_serve(
    mut bound: Result<Bound, ListenError>,
    site: Site,
    daemon: Arc<Daemon>,
) -> io::Result<()> {
    let mut backoff = Backoff::default();
    loop {
        match bound {
            Ok(bound) => {
                let url = bound.url("/metrics");
                daemon.set_metrics_url(url.clone());
                if daemon.make_good(Part::Metrics) {
                    let url = url.unwrap_or_default();
                    info!("the metrics address is bound: {url}");
                }
                return serve_apart(bound, &site.names, daemon).await;
            }
            Err(error) => {
                daemon.fall_short(Part::Metrics, error.shortfall());
                tokio::time::sleep(backoff.pause()).await;
                bound = listen(&site).await;
            }
        }
    }
}

/// Serves on a thread of its own until the task is dropped. The thread has the privileges that this one has by then.
async fn serve_apart(bound: Bound, names: &[String], daemon: Arc<Daemon>) -> io::Result<()> {
    let names = Arc::new(Names::of(names));
    let router = routes::router(daemon);
    let Bound { listener, web } = bound;
    // It belongs to the runtime that accepts.
    let listener = listener.into_std()?;
    let (_alive, dropped) = oneshot::channel::<()>();
    let (end, ended) = oneshot::channel();
    let serving = async move {
        let listener = TcpListener::from_std(listener)?;
        tokio::select! {
            () = serve(listener, web, names, router) => {}
            // The sender is dropped and sends nothing.
            _ = dropped => {}
        }
        Ok(())
    };
    thread::Builder::new().name("http".to_owned()).spawn(|| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        // Without a receiver, the daemon ends anyway.
        let _ = end.send(runtime.and_then(|runtime| runtime.block_on(serving)));
    })?;
    let failed = |_| io::Error::other("the thread that answers HTTP has ended");
    ended.await.map_err(failed)?
}

/// Answers until the task is dropped, one request a connection.
async fn serve(
    listener: TcpListener,
    mut web: Option<WebConfigFile>,
    names: Arc<Names>,
    router: Router,
) {
    let mut connections = ConnectionLimit::new(CONNECTIONS_MAX);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("cannot accept an HTTP connection: {error}");
                // The usual cause is a lack of file descriptors, until other connections are closed.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let web = web.as_mut().map(WebConfigFile::current);
        let gate = Gate {
            names: Arc::clone(&names),
            web: web.clone(),
        };
        let router = router
            .clone()
            .layer(CompressionLayer::new())
            .layer(middleware::from_fn_with_state(gate, gate::check));
        connections.admit(|_| async move {
            // A client that is too slow, or has disconnected, gets no answer.
            let _ = tokio::time::timeout(CONNECTION_MAX, answer(stream, web, router)).await;
        });
    }
}

/// Answers the request of a connection; without one, the client gets no answer.
async fn answer(stream: TcpStream, web: Option<Arc<WebConfig>>, router: Router) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX)
        .keep_alive(false);
    let service = TowerToHyperService::new(router);
    match web.and_then(|web| web.acceptor()) {
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        }
        None => {
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    }
}
