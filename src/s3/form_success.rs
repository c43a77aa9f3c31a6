//! The answer to a form whose object was written (AWS: POST Object).

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::encoding::encode_query;
use super::form::{PostForm, post_response};
use crate::http1::fields::Fields;

/// The object that a form has written.
#[derive(Debug, Clone, Copy)]
pub struct Posted<'a> {
    /// Its bucket.
    pub bucket: &'a str,
    /// Its key.
    pub key: &'a str,
    /// Its ETag with the quotes; empty if it is not known.
    pub etag: &'a str,
    /// Its URL.
    pub location: &'a str,
}

/// What the form asked to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormSuccess {
    /// Status.
    pub status: StatusCode,
    /// `Location`, and the type of the body if there is one.
    pub headers: Fields,
    /// A document with status 201, else empty.
    pub body: Vec<u8>,
}

impl FormSuccess {
    /// `success_action_redirect`, else `success_action_status` 200, 201 or 204.
    pub fn of(form: &PostForm, posted: &Posted<'_>) -> Self {
        let mut headers = Fields::new();
        if let Some(to) = redirect(form, posted) {
            headers.insert(LOCATION, to);
            return Self { status: StatusCode::SEE_OTHER, headers, body: Vec::new() };
        }
        let Posted { bucket, key, etag, location } = *posted;
        if let Ok(location) = HeaderValue::from_str(location) {
            headers.insert(LOCATION, location);
        }
        let (status, body) = match form.field("success_action_status") {
            Some("200") => (StatusCode::OK, Vec::new()),
            Some("201") => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
                (StatusCode::CREATED, post_response(location, bucket, key, etag))
            }
            _ => (StatusCode::NO_CONTENT, Vec::new()),
        };
        Self { status, headers, body }
    }
}

/// The URL to which the form redirects its browser; `None` also where that is not a valid URL of the
/// web, which AWS treats as absent (AWS: POST Object, `success_action_redirect`).
fn redirect(form: &PostForm, posted: &Posted<'_>) -> Option<HeaderValue> {
    let to = form.field("success_action_redirect").or_else(|| form.field("redirect"))?;
    let (scheme, place) = to.split_once("://")?;
    let on_the_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if !on_the_web || place.is_empty() || place.starts_with(['/', '?', '#']) {
        return None;
    }
    let joint = if to.contains('?') { '&' } else { '?' };
    let [bucket, key, etag] = [posted.bucket, posted.key, posted.etag].map(encode_query);
    // A file name may be in it, with characters that a URL cannot contain.
    let to = utf8_percent_encode(to, NOT_OF_A_URL);
    HeaderValue::from_str(&format!("{to}{joint}bucket={bucket}&key={key}&etag={etag}")).ok()
}

/// Characters that no URL contains, so they cannot be part of its syntax.
const NOT_OF_A_URL: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');
