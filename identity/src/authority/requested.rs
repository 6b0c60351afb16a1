//! What counts of a certificate request: its key.

use super::{PKey, Public};
use cirro_models::{Error, Result};
use openssl::{nid::Nid, x509::X509Req};

/// P-256, as [`cirro_client::credential::new_key`] makes them.
const CURVE: Nid = Nid::X9_62_PRIME256V1;
/// Longer requests are not looked at.
const LONGEST: usize = 8192;

/// The public key in a certificate request, whose sender has shown that they hold the private one.
#[derive(Clone)]
pub(crate) struct RequestedKey(pub(super) PKey<Public>);

impl RequestedKey {
    /// Reads a request (PKCS #10) in PEM. What else it asks for counts for nothing.
    pub(crate) fn read(request: &str) -> Result<Self> {
        let refused = |what: &str| Error::invalid("request", format!("{what}: send a PKCS #10 request as PEM"));
        if request.len() > LONGEST {
            return Err(refused(&format!("it is longer than {LONGEST} bytes")));
        }
        let request = X509Req::from_pem(request.as_bytes()).map_err(|_| refused("it can't be read"))?;
        let key = request.public_key().map_err(|_| refused("its key can't be read"))?;
        if !request.verify(&key).unwrap_or(false) {
            return Err(refused("it is not signed with its own key"));
        }
        if key.ec_key().ok().and_then(|key| key.group().curve_name()) != Some(CURVE) {
            return Err(Error::invalid(
                "request",
                "its key is none of the kind that this site uses: make one on P-256",
            ));
        }
        Ok(Self(key))
    }
    /// SHA-256 of the key, in hexadecimal.
    pub(crate) fn hash(&self) -> String {
        // a key that was read can be written
        let der = self.0.public_key_to_der().unwrap_or_default();
        openssl::sha::sha256(&der).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
