//! ListObjects and ListObjectsV2 as a client asks for them, and where a page of theirs begins.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::s3::encoding::encode_query;
use crate::s3::{Operation, Query, S3Error};

/// The most entries of a page (AWS: ListObjectsV2).
pub(super) const PAGE_MAX: usize = 1000;

/// Where a page begins, or what comes after an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// With the first key.
    First,
    /// After this key.
    After(String),
    /// After all keys with this prefix.
    AfterAll(String),
}

/// A listing of the keys of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// Which of the two operations.
    pub version: Version,
    /// Only keys that begin with this; often empty.
    pub prefix: String,
    /// Keys that have this after the prefix are listed as one common prefix.
    pub delimiter: Option<String>,
    /// The most entries of a page, from 1 to 1,000.
    pub max_keys: usize,
    /// The beginning of the page; `None` for a token of the store's own, which does not tell it.
    pub start: Option<Start>,
    /// The text in the answer that says where the page begins: the token, the key or the marker that the
    /// client sent.
    pub said: Said,
}

/// Which operation asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// ListObjects: pages go on after a marker.
    One,
    /// ListObjectsV2: pages go on with a token.
    Two,
}

/// The beginning of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The place.
    pub position: Position,
    /// The store's own token for it, where it gave one.
    pub token: Option<String>,
}

/// What a client sent of the beginning of its page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// `marker`.
    pub marker: Option<String>,
    /// `continuation-token`.
    pub token: Option<String>,
    /// `start-after`.
    pub start_after: Option<String>,
}

impl Position {
    /// Does this key come after the position?
    pub fn is_before(&self, key: &str) -> bool {
        match self {
            Self::First => true,
            Self::After(last) => key > last.as_str(),
            Self::AfterAll(prefix) => key > prefix.as_str() && !key.starts_with(prefix.as_str()),
        }
    }

    /// The name in it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::First => None,
            Self::After(name) | Self::AfterAll(name) => Some(name),
        }
    }

    /// A key, of an object or not, after which the page begins.
    fn as_key(&self) -> Option<String> {
        match self {
            Self::First => None,
            Self::After(key) => Some(key.clone()),
            // No character is higher than this.
            Self::AfterAll(prefix) => Some(format!("{prefix}{}", char::MAX)),
        }
    }
}

impl ListRequest {
    /// Reads a listing. `None` where only the store can answer it: no page can be empty and go on, and
    /// what is said twice may be read in two ways. 400 `InvalidArgument` for a token that is this proxy's
    /// and cannot be read.
    pub fn of(operation: Operation, query: &Query) -> Result<Option<Self>, S3Error> {
        let version = match operation {
            Operation::ListObjects => Version::One,
            Operation::ListObjectsV2 => Version::Two,
            _ => return Ok(None),
        };
        if READ.iter().any(|name| query.get_all(name).nth(1).is_some()) {
            return Ok(None);
        }
        let text = |name| query.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let max_keys = match query.get("max-keys") {
            None | Some("") => PAGE_MAX,
            Some(most) => match most.parse::<usize>() {
                Ok(most) if most > 0 => most.min(PAGE_MAX),
                Ok(_) | Err(_) => return Ok(None),
            },
        };
        let (prefix, delimiter) = (text("prefix").unwrap_or_default(), text("delimiter"));
        let said = match version {
            Version::One => Said { marker: text("marker"), ..Said::default() },
            Version::Two => Said {
                token: text("continuation-token"),
                start_after: text("start-after"),
                ..Said::default()
            },
        };
        let mut request = Self { version, prefix, delimiter, max_keys, start: None, said };
        request.start = request.read_start()?;
        Ok(Some(request))
    }

    /// A listing of all keys with this prefix, to find out whether there is one.
    pub fn below(prefix: &str, max_keys: usize) -> Self {
        Self {
            version: Version::Two,
            prefix: prefix.to_owned(),
            delimiter: None,
            max_keys: max_keys.min(PAGE_MAX),
            start: None,
            said: Said::default(),
        }
    }

    /// Its parameters, encoded, without a place to begin at.
    pub fn query(&self) -> Vec<(String, String)> {
        let max_keys = self.max_keys.to_string();
        let fixed = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", &max_keys)];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        fixed.chain([("prefix".to_owned(), encode_query(&self.prefix))]).collect()
    }

    fn read_start(&self) -> Result<Option<Start>, S3Error> {
        let at = |position| Ok(Some(Start { position, token: None }));
        if let Some(token) = &self.said.token {
            return match token.strip_prefix(TOKEN) {
                None => Ok(None),
                Some(own) => match Start::of_token(own) {
                    Some(start) => Ok(Some(start)),
                    None => Err(S3Error::invalid_argument(
                        "The continuation token provided is incorrect",
                        "continuation-token",
                        token,
                    )),
                },
            };
        }
        match (&self.said.marker, &self.said.start_after) {
            // A page that ended with a common prefix goes on behind all its keys (AWS: ListObjects,
            // NextMarker).
            (Some(marker), _) if self.rolled_up(marker) == Some(marker) => {
                at(Position::AfterAll(marker.clone()))
            }
            (Some(key), _) | (None, Some(key)) => at(Position::After(key.clone())),
            (None, None) => at(Position::First),
        }
    }

    /// The common prefix that stands for a key, if one does.
    pub fn rolled_up<'k>(&self, key: &'k str) -> Option<&'k str> {
        rolled_up(&self.prefix, self.delimiter.as_deref()?, key)
    }

    /// The parameters for the page that begins there, encoded, from the encoded ones of the client.
    pub fn placed(&self, mut query: Vec<(String, String)>, start: &Start) -> Vec<(String, String)> {
        if self.start.as_ref() == Some(start) && start.token.is_none() && self.said.token.is_none()
        {
            return query;
        }
        query.retain(|(name, _)| !matches!(name.as_str(), "continuation-token" | "marker"));
        if let Some(token) = &start.token {
            query.push(("continuation-token".to_owned(), encode_query(token)));
            return query;
        }
        query.retain(|(name, _)| name != "start-after");
        let name = match self.version {
            Version::One => "marker",
            Version::Two => "start-after",
        };
        query.extend(start.position.as_key().map(|key| (name.to_owned(), encode_query(&key))));
        query
    }
}

/// The common prefix that stands for a key in a listing with this prefix and delimiter, if one does.
pub(super) fn rolled_up<'k>(prefix: &str, delimiter: &str, key: &'k str) -> Option<&'k str> {
    let rest = key.strip_prefix(prefix)?;
    let end = rest.find(delimiter)? + delimiter.len();
    key.get(..prefix.len() + end)
}

impl Start {
    /// The token for a client.
    pub fn to_token(&self) -> String {
        let kind = match self.position {
            Position::First => "f",
            Position::After(_) => "k",
            Position::AfterAll(_) => "p",
        };
        let mut text = [kind, self.position.name().unwrap_or_default()].concat();
        if let Some(token) = &self.token {
            text.push('\0');
            text.push_str(token);
        }
        format!("{TOKEN}{}", BASE64_URL_SAFE_NO_PAD.encode(text))
    }

    fn of_token(encoded: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
        // No key contains NUL.
        let (place, token) = match text.split_once('\0') {
            Some((place, token)) => (place, Some(token.to_owned())),
            None => (text.as_str(), None),
        };
        let (kind, name) = place.split_at_checked(1)?;
        let position = match kind {
            "f" if name.is_empty() => Position::First,
            "k" => Position::After(name.to_owned()),
            "p" => Position::AfterAll(name.to_owned()),
            _ => return None,
        };
        Some(Self { position, token })
    }

    /// Whether a token is one of these, and not the store's.
    pub fn is_token(token: &str) -> bool {
        token.starts_with(TOKEN)
    }
}

/// The beginning of this proxy's tokens.
const TOKEN: &str = "ifmatch1.";

/// The parameters that say what is listed.
const READ: [&str; 6] =
    ["prefix", "delimiter", "max-keys", "marker", "continuation-token", "start-after"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(operation: Operation, query: &str) -> Result<Option<ListRequest>, S3Error> {
        ListRequest::of(operation, &Query::parse(query))
    }

    fn two(query: &str) -> ListRequest {
        read(Operation::ListObjectsV2, query).unwrap().unwrap()
    }

    fn after(key: &str) -> Position {
        Position::After(key.to_owned())
    }

    fn after_all(prefix: &str) -> Position {
        Position::AfterAll(prefix.to_owned())
    }

    #[test]
    fn a_page_begins_where_its_client_says() {
        let one = |query: &str| read(Operation::ListObjects, query).unwrap().unwrap();
        let position = |request: ListRequest| request.start.unwrap().position;
        assert_eq!(position(two("list-type=2")), Position::First);
        assert_eq!(position(two("start-after=a%2F&delimiter=/")), after("a/"));
        assert_eq!(position(one("marker=a/b")), after("a/b"));
        assert_eq!(position(one("marker=a/b&delimiter=/")), after("a/b"));
        assert_eq!(position(one("marker=a/&delimiter=/")), after_all("a/"));
        assert_eq!(position(one("marker=a/&delimiter=/&prefix=a/")), after("a/"));
        assert_eq!(two("continuation-token=abc").start, None, "the store's own");
        let request = two("prefix=a+b&delimiter=&max-keys=2000");
        assert_eq!((request.prefix.as_str(), request.delimiter), ("a b", None));
        assert_eq!((request.max_keys, two("max-keys=7").max_keys), (1000, 7));
    }

    #[test]
    fn what_only_the_store_can_answer_is_left_to_it() {
        for query in
            ["max-keys=0", "max-keys=x", "max-keys=-1", "prefix=a&prefix=b", "marker&marker"]
        {
            assert_eq!(read(Operation::ListObjects, query).unwrap(), None, "{query}");
        }
        assert_eq!(read(Operation::ListObjectVersions, "").unwrap(), None);
    }

    #[test]
    fn a_token_comes_back_as_it_was_and_another_is_refused() {
        for position in [Position::First, after("ü/\u{1}"), after_all("a/")] {
            for token in [None, Some("t=/+".to_owned()), Some(String::new())] {
                let start = Start { position: position.clone(), token };
                let query = format!("continuation-token={}", encode_query(&start.to_token()));
                assert_eq!(two(&query).start, Some(start));
            }
        }
        for wrong in ["ifmatch1.", "ifmatch1.a", "ifmatch1.!", "ifmatch1.eA", "ifmatch1.Zng"] {
            let refused = read(Operation::ListObjectsV2, &format!("continuation-token={wrong}"));
            let refused = refused.unwrap_err();
            assert_eq!((refused.code(), refused.status().as_u16()), ("InvalidArgument", 400));
        }
    }

    #[test]
    fn the_store_is_asked_for_the_page_that_is_meant() {
        let placed = |request: &ListRequest, start: &Start| {
            let query = [("list-type", "2"), ("start-after", "x"), ("continuation-token", "t")];
            let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            let placed = request.placed(query, start);
            placed
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join("&")
        };
        let request = two("list-type=2&start-after=x&continuation-token=t");
        let start =
            |position, token: Option<&str>| Start { position, token: token.map(Into::into) };
        let with_token = start(after("k"), Some("s/"));
        assert_eq!(
            placed(&request, &with_token),
            "list-type=2&start-after=x&continuation-token=s%2F"
        );
        assert_eq!(placed(&request, &start(after("k/"), None)), "list-type=2&start-after=k%2F");
        assert_eq!(
            placed(&request, &start(after_all("p/"), None)),
            "list-type=2&start-after=p%2F%F4%8F%BF%BF"
        );
        assert_eq!(placed(&request, &start(Position::First, None)), "list-type=2");
        let one = read(Operation::ListObjects, "marker=a").unwrap().unwrap();
        let marked = vec![("marker".to_owned(), "a".to_owned())];
        assert_eq!(one.placed(marked.clone(), one.start.as_ref().unwrap()), marked);
        let next = one.placed(marked, &start(after("b"), None));
        assert_eq!(next, [("marker".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn a_key_comes_after_its_position_or_not() {
        for (position, key, comes) in [
            (Position::First, "", true),
            (after("a"), "a", false),
            (after("a"), "a\u{1}", true),
            (after("b"), "a", false),
            (after_all("a/"), "a/", false),
            (after_all("a/"), "a/b", false),
            (after_all("a/"), "a0", true),
            (after_all("a/"), "a", false),
        ] {
            assert_eq!(position.is_before(key), comes, "{position:?} {key}");
        }
    }
}
