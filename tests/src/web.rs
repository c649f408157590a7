//! A web server on the loopback of a namespace, with or without TLS, that answers as a test wants.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sched::{CloneFlags, setns};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::namespace::Namespace;

/// An answer with this status, headers that each end in a line break, and body.
#[must_use]
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Serves HTTP: the handler gets the head of each request, and returns all that is sent.
pub fn serve(
    namespace: &Namespace,
    handler: impl Fn(&str) -> Vec<u8> + Send + 'static,
) -> Result<SocketAddr> {
    let listener = listen(namespace)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = talk(stream, &handler);
        }
    });
    Ok(address)
}

/// The same over TLS, with a certificate and a key in PEM.
pub fn serve_tls(
    namespace: &Namespace,
    certificate: &Path,
    key: &Path,
    handler: impl Fn(&str) -> Vec<u8> + Send + 'static,
) -> Result<SocketAddr> {
    let config = tls_config(certificate, key)?;
    let listener = listen(namespace)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that does not trust the certificate leaves.
            if let Ok(connection) = ServerConnection::new(Arc::clone(&config)) {
                let _ = talk(StreamOwned::new(connection, stream), &handler);
            }
        }
    });
    Ok(address)
}

/// Makes a key, and a certificate for 127.0.0.1 that nothing but itself has signed, as PEM files. Needs `openssl`.
pub fn certificate(certificate: &Path, key: &Path) -> Result<()> {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=edge1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()?;
    let said = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "{said}");
    Ok(())
}

/// A server over TLS, with a certificate and a key in PEM.
pub fn tls_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(|error| anyhow!("{error}"))?
        .collect();
    let certificates = certificates.map_err(|error| anyhow!("{error}"))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| anyhow!("{error}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    Ok(Arc::new(config))
}

/// A listener on the loopback of a namespace.
fn listen(namespace: &Namespace) -> Result<TcpListener> {
    let namespace = File::open(namespace.path())?;
    let bound = std::thread::spawn(move || -> Result<TcpListener> {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
    });
    bound
        .join()
        .map_err(|_| anyhow!("the thread that binds panicked"))?
        .context("binding to the loopback")
}

/// Reads the head of a request and sends the answer.
fn talk(stream: impl Read + Write, handler: &impl Fn(&str) -> Vec<u8>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while stream.read_line(&mut head)? > 2 {}
    let answer = handler(&head);
    let stream = stream.get_mut();
    stream.write_all(&answer)?;
    Ok(stream.flush()?)
}
