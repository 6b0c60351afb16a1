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
                Error::invalid(if path == "." { "body".to_owned() } else { path }, plain(&inner.to_string()))
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

/// The message without the place in the text, which the field's name tells better.
fn plain(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

/// The filter and the page of a list, from the query.
pub fn query<F: DeserializeOwned>(text: &str) -> Result<(F, Page)> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(text)
        .map_err(|error| Error::Malformed { detail: format!("the query can't be read: {error}") })?;
    let (paging, filter): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(key, _)| key == "limit" || key == "after");
    Ok((pairs_to(&filter)?, pairs_to(&paging)?))
}

fn pairs_to<T: DeserializeOwned>(pairs: &[(String, String)]) -> Result<T> {
    let read = |pairs: &[(String, String)]| -> Result<T, String> {
        let text = serde_urlencoded::to_string(pairs).map_err(|error| error.to_string())?;
        serde_urlencoded::from_str(&text).map_err(|error| error.to_string())
    };
    read(pairs).map_err(|error| {
        // this reader tells no path: it is the field that fails alone, or the one that is given twice
        let alone = pairs.iter().find_map(|pair| read(std::slice::from_ref(pair)).err().map(|error| (pair, error)));
        let twice = || pairs.iter().find(|(key, _)| error.contains(key.as_str())).map(|pair| (pair, error.clone()));
        let (field, detail) = match alone.or_else(twice) {
            Some(((key, _), detail)) => (key.as_str(), detail),
            None => ("query", error.clone()),
        };
        Error::invalid(field, detail)
    })
}
