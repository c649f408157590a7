//! Who may release: an ed25519 signature (RFC 8032) over what a release says, checked before its content is read.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ED25519};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the key {path}: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("{path} is not an ed25519 key; `geofence-fleet bootstrap` writes one")]
    Invalid { path: String },
}

/// A key that signs releases.
pub struct SigningKey(Ed25519KeyPair);

/// A key that checks them.
#[derive(Clone, Debug)]
pub struct VerifyKey(Vec<u8>);

/// A new pair: the private key as PEM, and the public one as `VerifyKey::load` reads it.
///
/// # Errors
/// When there is no randomness.
pub fn generate() -> Result<(String, String), rcgen::Error> {
    let pair = KeyPair::generate_for(&PKCS_ED25519)?;
    let public = STANDARD.encode(pair.public_key_raw());
    Ok((pair.serialize_pem(), format!("{public}\n")))
}

impl SigningKey {
    /// Reads a private key.
    ///
    /// # Errors
    /// When the file cannot be read or has no such key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let invalid = || KeyError::Invalid {
            path: path.display().to_string(),
        };
        let pair = KeyPair::from_pem(&text(path)?).map_err(|_| invalid())?;
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pair.serialized_der());
        key.map(Self).map_err(|_| invalid())
    }

    /// Signs a text.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        STANDARD.encode(self.0.sign(text.as_bytes()))
    }
}

impl VerifyKey {
    /// Reads a public key: 32 bytes in base64.
    ///
    /// # Errors
    /// When the file cannot be read or has no such key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let decoded = STANDARD.decode(text(path)?.trim());
        match decoded {
            Ok(key) if key.len() == 32 => Ok(Self(key)),
            Ok(_) | Err(_) => Err(KeyError::Invalid {
                path: path.display().to_string(),
            }),
        }
    }

    /// Whether a signature is this key's.
    #[must_use]
    pub fn verifies(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        key.verify(text.as_bytes(), &signature).is_ok()
    }
}

fn text(path: &Path) -> Result<String, KeyError> {
    fs::read_to_string(path).map_err(|cause| KeyError::Unreadable {
        path: path.display().to_string(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_signed_verifies_and_only_the_text() {
        let place = tempfile::tempdir().unwrap();
        let pair = |name: &str| {
            let (private, public) = generate().unwrap();
            let (signing, verify) = (
                place.path().join(format!("{name}.key")),
                place.path().join(format!("{name}.pub")),
            );
            fs::write(&signing, private).unwrap();
            fs::write(&verify, public).unwrap();
            (
                SigningKey::load(&signing).unwrap(),
                VerifyKey::load(&verify).unwrap(),
            )
        };
        let ((signing, verify), (_, other)) = (pair("a"), pair("b"));
        let signature = signing.sign("text");
        assert!(verify.verifies("text", &signature));
        assert!(!other.verifies("text", &signature));
        for (text, signature) in [("texT", signature.as_str()), ("text", ""), ("text", "AAAA")] {
            assert!(!verify.verifies(text, signature), "{text} {signature}");
        }
        let nonsense = place.path().join("nonsense");
        fs::write(&nonsense, "AAAA").unwrap();
        assert!(VerifyKey::load(&nonsense).is_err());
        assert!(SigningKey::load(&nonsense).is_err());
    }
}
