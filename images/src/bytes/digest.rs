//! sha256 digests: the fingerprint by which an upload is checked and a node's cache verifies what it fetched.

use std::{fmt, io, str::FromStr};

use openssl::hash::{Hasher, MessageDigest};

/// A sha256 digest; written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// The text is not the 64 hexadecimal digits of a sha256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sha256 digest is 64 hexadecimal digits; `sha256sum FILE` prints it")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    /// Reads 64 hexadecimal digits in either case.
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(NotADigest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else { return Err(NotADigest) };
            *byte = (nibble(high)? << 4) | nibble(low)?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, NotADigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(NotADigest),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Computes a [`Digest`] over bytes as they pass. Blocking (it is pure computation): not for async threads.
pub(super) struct Sha256(Hasher);

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

impl Sha256 {
    /// # Errors
    /// When OpenSSL has no sha256, which only a broken installation can cause.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Hasher::new(MessageDigest::sha256())?))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        Ok(self.0.update(bytes)?)
    }

    /// The digest of all so far; begins anew.
    pub(super) fn finish(&mut self) -> io::Result<Digest> {
        let bytes = self.0.finish()?;
        let bytes = <[u8; 32]>::try_from(&*bytes).map_err(|_| io::Error::other("sha256 gave no 32 bytes"))?;
        Ok(Digest(bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn hashes_in_pieces_and_reads_either_case() {
        let mut sha = Sha256::new().unwrap();
        sha.update(b"a").unwrap();
        sha.update(b"bc").unwrap();
        let digest = sha.finish().unwrap();
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(ABC.to_uppercase().parse(), Ok(digest));
    }

    #[test]
    fn refuses_what_is_no_digest() {
        for text in ["", "abc", &ABC[1..], &format!("{ABC}0"), &format!("g{}", &ABC[1..]), &"é".repeat(32)] {
            assert_eq!(text.parse::<Digest>(), Err(NotADigest), "{text:?}");
        }
    }
}
