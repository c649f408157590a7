//! TLS for the listener, from the files that the web configuration names.

use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::TlsAcceptor;

use super::file::{ClientAuth, Tls, Version};
use crate::os::certificates::{certificates, read_pem};

/// What speaks TLS as the file says.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let words = |error: rustls::Error| error.to_string();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls)?)
        .map_err(words)?;
    let builder = match client_verifier(tls, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let chain = certificates(&tls.cert_file)?;
    let key = PrivateKeyDer::from_pem_slice(&read_pem(&tls.key_file)?)
        .map_err(|error| format!("{} has no private key: {error}", tls.key_file.display()))?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let file = tls.cert_file.display();
        format!("the certificate in {file} does not fit the key: {error}")
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn versions(tls: &Tls) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    match (tls.min_version, tls.max_version) {
        (Version::Tls12, Version::Tls13) => Ok(vec![&version::TLS12, &version::TLS13]),
        (Version::Tls12, Version::Tls12) => Ok(vec![&version::TLS12]),
        (Version::Tls13, Version::Tls13) => Ok(vec![&version::TLS13]),
        (Version::Tls13, Version::Tls12) => Err("min_version is above max_version".to_owned()),
    }
}

fn client_verifier(
    tls: &Tls,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let is_optional = match (tls.client_auth_type, &tls.client_ca_file) {
        (ClientAuth::NoClientCert, None) => return Ok(None),
        (ClientAuth::NoClientCert, Some(_)) => {
            return Err(
                "client_ca_file is given, and client_auth_type does not ask for certificates"
                    .to_owned(),
            );
        }
        (ClientAuth::VerifyClientCertIfGiven, _) => true,
        (ClientAuth::RequireAndVerifyClientCert, _) => false,
    };
    let Some(authority) = &tls.client_ca_file else {
        return Err("client_auth_type needs client_ca_file".to_owned());
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority)? {
        let added = roots.add(certificate);
        added.map_err(|error| format!("{}: {error}", authority.display()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if is_optional {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    let verifier = builder.build();
    verifier.map(Some).map_err(|error| error.to_string())
}
