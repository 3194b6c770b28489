//! DH-HMAC-CHAP secrets: shown to the kernel only.

use std::fmt;

use crate::ParseError;

/// Longest secret text: a 64-byte key with its CRC is 108 characters, after `DHHC-1:03:` and before `:`.
const MAX_SECRET_BYTES: usize = 128;

/// A DH-HMAC-CHAP secret in its interchange form `DHHC-1:HH:BASE64:` (NVMe base specification 2.0, 8.13.5.8).
/// `Debug` and `Display` do not show it, and no error of this crate holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct DhchapSecret(String);

impl DhchapSecret {
    /// Checks form and length; the kernel checks the key's CRC (`nvme_auth_extract_key`).
    pub fn new(text: impl Into<String>) -> Result<Self, ParseError> {
        let text = text.into();
        if text.len() <= MAX_SECRET_BYTES && has_form(&text) {
            return Ok(Self(text));
        }
        Err(ParseError::new("DH-HMAC-CHAP secret", "is not DHHC-1:HH:BASE64:"))
    }

    /// The secret itself, for the kernel.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn has_form(text: &str) -> bool {
    let mut parts = text.split(':');
    let head = parts.next() == Some("DHHC-1");
    let hash = parts.next().is_some_and(|hash| hash.len() == 2 && hash.bytes().all(|b| b.is_ascii_digit()));
    let key = parts.next().is_some_and(|key| !key.is_empty() && key.bytes().all(is_base64));
    head && hash && key && parts.next() == Some("") && parts.next().is_none()
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

impl fmt::Debug for DhchapSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DhchapSecret(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

    #[test]
    fn a_secret_is_never_shown() {
        let secret = DhchapSecret::new(SECRET).unwrap();
        assert_eq!(secret.expose(), SECRET);
        assert!(!format!("{secret:?}").contains("ia6z"));
        let error = DhchapSecret::new("DHHC-1:00:ia6z,nqn=x:").unwrap_err();
        assert!(!error.to_string().contains("ia6z"));
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in ["", "DHHC-1:00:abc", "DHHC-1:0:abc:", "DHHC-1:00::", "DHHC-1:00:a\nb:", "DHHC-1:00:abc::"]
        {
            assert!(DhchapSecret::new(bad).is_err(), "{bad:?}");
        }
    }
}
