//! Sign: in whose name the call is made, and under which key. Below the retries, so that each try says it anew.

use crate::request::{Fault, Reply, Sending, Step, Way};
use cirro_models::{Error, identity::Secret};
use hyper::{
    Method,
    header::{AUTHORIZATION, HeaderValue},
};
use std::task::{Context, Poll};
use tower::{Layer, Service, ServiceExt};

/// Puts [`Sign`] around a step.
#[derive(Clone)]
pub(crate) struct SignLayer;

/// Adds the context's token and idempotency key.
#[derive(Clone)]
pub(crate) struct Sign<S>(S);

impl<S> Layer<S> for SignLayer {
    type Service = Sign<S>;
    fn layer(&self, inner: S) -> Sign<S> {
        Sign(inner)
    }
}

impl<S: Step> Service<Sending> for Sign<S> {
    type Response = Reply;
    type Error = Fault;
    type Future = Way;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, mut sending: Sending) -> Way {
        let inner = self.0.clone();
        Box::pin(async move {
            sign(&mut sending)?;
            inner.oneshot(sending).await
        })
    }
}

fn sign(sending: &mut Sending) -> Result<(), Fault> {
    let unusable = |what: &str| {
        Fault::Refused(Error::Malformed { detail: format!("the {what} can't be sent: it holds more than plain ASCII") })
    };
    // a login brings its own proof
    if let Some(token) = sending.ctx.token().map(Secret::expose)
        && !sending.headers.contains_key(AUTHORIZATION)
    {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| unusable("token"))?;
        // neither shown by `Debug` nor kept in HTTP/2's table of headers
        value.set_sensitive(true);
        sending.headers.insert(AUTHORIZATION, value);
    }
    if sending.method != Method::GET
        && let Some(key) = sending.ctx.key()
    {
        let key = HeaderValue::from_str(key).map_err(|_| unusable("idempotency key"))?;
        sending.headers.insert("idempotency-key", key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{get, keyed};
    use cirro_models::{Context as Ctx, Stores};
    use std::sync::Arc;

    fn with_token(token: &str) -> Sending {
        let mut sending = get();
        sending.ctx = Ctx::client(Arc::new(Stores::default()), Some(Secret::new(token)));
        sending
    }

    #[test]
    fn token_and_key_go_along_and_neither_is_shown() {
        let mut sending = with_token("hidden");
        sign(&mut sending).unwrap();
        assert_eq!(sending.headers[AUTHORIZATION], "Bearer hidden");
        assert!(!format!("{:?}", sending.headers).contains("hidden"));
        let mut sending = keyed();
        sign(&mut sending).unwrap();
        assert_eq!(sending.headers["idempotency-key"], "k");
    }

    #[test]
    fn a_login_keeps_its_own_proof_and_a_read_has_no_key() {
        let mut sending = with_token("hidden");
        sending.ctx = sending.ctx.keyed("k");
        sending.headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic proof"));
        sign(&mut sending).unwrap();
        assert_eq!(sending.headers[AUTHORIZATION], "Basic proof");
        assert!(!sending.headers.contains_key("idempotency-key"));
    }

    #[test]
    fn what_can_not_be_sent_is_refused_without_being_told() {
        let fault = sign(&mut with_token("hid\nden")).unwrap_err();
        assert!(matches!(fault, Fault::Refused(_)));
        assert!(!format!("{fault:?}").contains("hid"));
    }
}
