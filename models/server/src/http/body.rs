//! Reading what callers send: bodies and queries, with the field named that can't be used.

use crate::http::{Failure, MAX_BODY};
use actix_web::{HttpRequest, web};
use cirro_models::{Error, Page, Result};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// A JSON body of bounded size.
pub async fn json<T: DeserializeOwned>(request: &HttpRequest, payload: web::Payload) -> Result<T, Failure> {
    let bytes = bytes(payload).await.map_err(|error| Failure::of(request, error))?;
    parse(&bytes).map_err(|error| Failure::of(request, error))
}

async fn bytes(mut payload: web::Payload) -> Result<web::BytesMut> {
    let mut body = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Error::Malformed { detail: format!("the body broke off: {error}") })?;
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Error::TooLarge {
                detail: format!("the body is larger than {MAX_BODY} bytes: send less at once"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A value from JSON; what can't be used is named by its path.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // serde would read a struct from a list too, field by field
    let object = bytes.trim_ascii_start().first() == Some(&b'{');
    if !object && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
        return Err(Error::invalid("body", "this is no JSON object: send one, with a member for each field"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            Category::Data => {
                let detail = plain(&inner.to_string());
                let named =
                    about(&detail).map(|field| if path == "." { field.to_owned() } else { path.clone() + "." + field });
                Error::invalid(named.unwrap_or(if path == "." { "body".to_owned() } else { path }), detail)
            }
            Category::Eof if bytes.is_empty() => {
                Error::Malformed { detail: "the body is empty: send a JSON object".to_owned() }
            }
            _ => Error::Malformed { detail: format!("the body is no JSON: {inner}") },
        }
    })?;
    reader.end().map_err(|error| Error::Malformed { detail: format!("the body goes on after its JSON: {error}") })?;
    Ok(value)
}

/// The message without the place in the text, which the field's name tells better, and without names of Rust's types.
fn plain(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    message.replace("expected i64", "expected a whole number").replace("expected u64", "expected a whole number")
}

/// The field that a message is about whose place is that of the whole object.
fn about(message: &str) -> Option<&str> {
    let rest = ["missing field `", "duplicate field `"].iter().find_map(|start| message.strip_prefix(start))?;
    rest.strip_suffix('`')
}

/// The filter and the page of a list, from the query.
pub fn query<F: DeserializeOwned>(text: &str) -> Result<(F, Page)> {
    let pairs = pairs(text)?;
    let (paging, filter): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _)| key == "limit" || key == "after");
    Ok((pairs_to(&filter)?, pairs_to(&paging)?))
}

/// The parameters of a query.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    serde_urlencoded::from_str(text)
        .map_err(|error| Error::Malformed { detail: format!("the query can't be read: {error}") })
}

/// A value from the parameters of a query; the one at fault is named.
pub(crate) fn pairs_to<T: DeserializeOwned>(pairs: &[(String, String)]) -> Result<T> {
    let read = |pairs: &[(String, String)]| -> Result<T, String> {
        let text = serde_urlencoded::to_string(pairs).map_err(|error| error.to_string())?;
        serde_urlencoded::from_str(&text).map_err(|error| error.to_string())
    };
    read(pairs).map_err(|error| {
        if let Some(field) = about(&error) {
            return Error::invalid(field, error.as_str());
        }
        // this reader tells no path: it is the parameter that fails alone, and not because others are missing
        let alone = pairs.iter().find_map(|pair| {
            let error = read(std::slice::from_ref(pair)).err().filter(|error| about(error).is_none())?;
            Some((pair.0.as_str(), error))
        });
        let (field, detail) = alone.unwrap_or(("query", error));
        let number =
            ["invalid digit", "cannot parse integer", "number too"].iter().any(|text| detail.starts_with(text));
        let detail = if number { "give a whole number" } else { detail.trim_start_matches(&format!("{field}: ")) };
        Error::invalid(field, detail)
    })
}
