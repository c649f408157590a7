//! Syslog over TLS (RFC 5425): the connection, and the authorities that it trusts.
//!
//! The certificate must be for the host that the configuration names. Authorities are read for each connection, so a
//! renewed file counts without a restart.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned};

use super::sockets::{TIMEOUT, tcp};
use crate::os::certificates::certificates;

pub(super) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Connects, and checks whose certificate it is.
pub(super) fn connect(host: &str, port: u16, ca: Option<&Path>) -> io::Result<TlsStream> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let config = config(ca).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = reach(host, port)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    // Now, so that what is wrong with a certificate is not said of the first event.
    connection
        .complete_io(&mut stream)
        .map_err(|error| io::Error::other(refusal(host, &error)))?;
    Ok(StreamOwned::new(connection, stream))
}

/// Connects to the first address of the host that answers.
fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = None;
    for address in (host, port).to_socket_addrs()? {
        match tcp(&address) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other(format!("{host} has no address"))))
}

fn config(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = builder.with_root_certificates(roots(ca)?);
    Ok(builder.with_no_client_auth())
}

/// The authorities in the file or, without one, those of the system.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        for certificate in certificates(path)? {
            let added = roots.add(certificate);
            added.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        return Ok(roots);
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(
            "this system has no CA certificates; install the package ca-certificates, or name a file in \
             `event-syslog-ca`"
                .to_owned(),
        );
    }
    Ok(roots)
}

/// What an error of the handshake means.
fn refusal(host: &str, error: &io::Error) -> String {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(cause)) = cause else {
        return format!("the TLS handshake with {host} failed: {error}");
    };
    if *cause == CertificateError::UnknownIssuer {
        return format!(
            "the certificate of {host} is refused: no trusted authority signed it; name the file of its authority in \
             `event-syslog-ca`"
        );
    }
    format!("the certificate of {host} is refused: {cause}")
}
