//! A content by its digest, from the engine. What is too large for that is downloaded.

use crate::engine::{Engine, EngineError, VALUE_BYTES_MAX};
use crate::keys::{Keys, Subject};
use crate::release::{Content, digest};

/// The largest content.
const BYTES_MAX: u64 = 512 << 20;

/// Why there is no content.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("the content has {0} bytes, and at most {BYTES_MAX} are allowed")]
    TooLarge(u64),
    #[error("the engine does not have the content, and the release names no URL")]
    Nowhere,
    #[error(
        "{place} gives other content than the release names: {size} bytes with the SHA-256 {sha256}"
    )]
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

/// Reads a content from the engine, if it is there. What is returned has the digest.
///
/// # Errors
/// Why there is none: the engine does not answer, it has another content, or the content is too large.
pub async fn from_engine(
    engine: &mut Engine,
    keys: &Keys,
    subject: &Subject,
    content: &Content,
) -> Result<Option<Vec<u8>>, ContentError> {
    if content.size > BYTES_MAX {
        return Err(ContentError::TooLarge(content.size));
    }
    let entry = engine.get(&keys.content(subject, &content.sha256)).await?;
    let found = entry.map(|entry| checked(entry.value, content, "the engine"));
    if found.is_none() && content.urls.is_empty() {
        return Err(ContentError::Nowhere);
    }
    found.transpose()
}

/// Refuses bytes that are not the content.
pub(crate) fn checked(
    bytes: Vec<u8>,
    content: &Content,
    place: &str,
) -> Result<Vec<u8>, ContentError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_refused_by_its_digest_or_its_size() {
        let content = Content::of(b"text", Vec::new());
        assert!(checked(b"text".to_vec(), &content, "here").is_ok());
        let error = checked(b"texT".to_vec(), &content, "here").unwrap_err();
        assert!(error.to_string().contains("other content"), "{error}");
        let longer = Content { size: 5, ..content };
        assert!(checked(b"text".to_vec(), &longer, "here").is_err());
    }
}
