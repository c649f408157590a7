//! Fetches a content by its digest: from the engine if it is small, or from a web server.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::engine::{Engine, EngineError, VALUE_BYTES_MAX};
use crate::keys::Keys;
use crate::release::{Content, digest};

/// The largest content.
const BYTES_MAX: u64 = 512 << 20;
const TIMEOUT: Duration = Duration::from_secs(300);

/// Why there is no content.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("the content has {0} bytes, and {BYTES_MAX} are the most")]
    TooLarge(u64),
    #[error("the engine does not have the content, and the release names no URL")]
    Nowhere,
    #[error("{url}: {cause}")]
    Fetch { url: String, cause: String },
    #[error("{place} gives {size} bytes with the SHA-256 {sha256}, which is another content")]
    Other {
        place: String,
        size: usize,
        sha256: String,
    },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Whether a content fits into the engine.
#[must_use]
pub fn fits(bytes: &[u8]) -> bool {
    bytes.len() <= VALUE_BYTES_MAX
}

/// Fetches a content. What is returned has the digest.
///
/// # Errors
/// Why there is none. Nothing of another content is kept.
pub async fn fetch(
    engine: &mut Engine,
    keys: &Keys,
    content: &Content,
    authority: Option<&Path>,
) -> Result<Vec<u8>, ContentError> {
    if content.size > BYTES_MAX {
        return Err(ContentError::TooLarge(content.size));
    }
    let entry = engine.get(&keys.content(&content.sha256)).await?;
    if let Some(entry) = entry {
        return checked(entry.value, content, "the engine");
    }
    let mut result = Err(ContentError::Nowhere);
    for url in &content.urls {
        let (asked, bytes, authority) =
            (url.clone(), content.size, authority.map(Path::to_path_buf));
        let fetched =
            tokio::task::spawn_blocking(move || download(&asked, bytes, authority.as_deref()));
        let fetched = fetched.await.unwrap_or_else(|error| Err(error.to_string()));
        let failed = |cause| ContentError::Fetch {
            url: url.clone(),
            cause,
        };
        result = fetched
            .map_err(failed)
            .and_then(|bytes| checked(bytes, content, url));
        if result.is_ok() {
            break;
        }
    }
    result
}

fn checked(bytes: Vec<u8>, content: &Content, place: &str) -> Result<Vec<u8>, ContentError> {
    let sha256 = digest(&bytes);
    if sha256 != content.sha256 || bytes.len() as u64 != content.size {
        return Err(ContentError::Other {
            place: place.to_owned(),
            size: bytes.len(),
            sha256,
        });
    }
    Ok(bytes)
}

/// Downloads at most this many bytes and one more, by which a longer content is known.
fn download(url: &str, bytes: u64, authority: Option<&Path>) -> Result<Vec<u8>, String> {
    if !url.starts_with("https://") {
        return Err("contents are fetched over https only".to_owned());
    }
    let roots = match authority {
        None => RootCerts::PlatformVerifier,
        Some(path) => {
            let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let items = parse_pem(&text).filter_map(|item| match item {
                Ok(PemItem::Certificate(one)) => Some(one),
                Ok(_) | Err(_) => None,
            });
            RootCerts::from(items.collect::<Vec<Certificate<'static>>>())
        }
    };
    let tls = TlsConfig::builder().root_certs(roots).build();
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .tls_config(tls)
        .max_redirects(0)
        .build()
        .into();
    let answer = agent.get(url).call().map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    let body = answer.into_body().into_reader();
    body.take(bytes.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|error| error.to_string())?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_refused_by_its_digest_or_its_size() {
        let content = Content::of(b"text", Vec::new());
        assert!(checked(b"text".to_vec(), &content, "here").is_ok());
        let error = checked(b"texT".to_vec(), &content, "here").unwrap_err();
        assert!(error.to_string().contains("another content"), "{error}");
        let longer = Content { size: 5, ..content };
        assert!(checked(b"text".to_vec(), &longer, "here").is_err());
    }

    #[test]
    fn contents_are_fetched_over_https_only() {
        for url in [
            "http://192.0.2.1/a",
            "file:///etc/passwd",
            "ftp://192.0.2.1/",
        ] {
            assert!(download(url, 1, None).unwrap_err().contains("https only"));
        }
    }
}
