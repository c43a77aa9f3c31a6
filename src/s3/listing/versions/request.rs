//! ListObjectVersions as a client asks for it, and where a page of it begins
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>).

use super::change::VersionId;
use crate::s3::Query;
use crate::s3::encoding::encode_query;
use crate::s3::listing::Position;
use crate::s3::listing::request::{PAGE_MAX, rolled_up};

/// Where a page begins, or what comes after an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// With the first version of the first key.
    First,
    /// After all versions of this key.
    After(String),
    /// After all keys with this prefix.
    AfterAll(String),
    /// After this version of this key.
    AfterVersion(String, VersionId),
}

/// A listing of the versions of a bucket's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionsRequest {
    /// Only keys that begin with this; often empty.
    pub prefix: String,
    /// Keys that have this after the prefix are listed as one common prefix.
    pub delimiter: Option<String>,
    /// The most entries of a page, from 1 to 1,000.
    pub max_keys: usize,
    /// The beginning of the page.
    pub start: Place,
}

/// The beginning of a page, and from where on the store is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// What is listed comes after this.
    pub place: Place,
    /// The store is asked for all versions of the place's key, from the first on: the version in it was
    /// written or deleted lately, so that the store may not know it.
    pub from_first: bool,
}

impl Place {
    /// After which keys it is. The version in it is left out.
    pub fn position(&self) -> Position {
        match self {
            Self::First => Position::First,
            Self::After(key) | Self::AfterVersion(key, _) => Position::After(key.clone()),
            Self::AfterAll(prefix) => Position::AfterAll(prefix.clone()),
        }
    }

    /// The key, or the common prefix.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::First => None,
            Self::After(name) | Self::AfterAll(name) | Self::AfterVersion(name, _) => Some(name),
        }
    }

    /// The version that it comes after, with its key.
    pub fn version(&self) -> Option<(&str, &VersionId)> {
        match self {
            Self::AfterVersion(key, id) => Some((key, id)),
            Self::First | Self::After(_) | Self::AfterAll(_) => None,
        }
    }

    /// Does a version of this key come after it, or some of them?
    pub fn may_be_before(&self, key: &str) -> bool {
        self.version().is_some_and(|(of, _)| of == key) || self.position().is_before(key)
    }
}

impl VersionsRequest {
    /// Reads a listing. `None` where only the store can answer it: no page can be empty and go on, what is
    /// said twice may be read in two ways, and what is wrong is refused by the store.
    pub fn of(query: &Query) -> Option<Self> {
        if READ.iter().any(|name| query.get_all(name).nth(1).is_some()) {
            return None;
        }
        let text = |name| query.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let max_keys = match text("max-keys") {
            None => PAGE_MAX,
            Some(most) => most.parse::<usize>().ok().filter(|most| *most > 0)?.min(PAGE_MAX),
        };
        let (prefix, delimiter) = (text("prefix").unwrap_or_default(), text("delimiter"));
        let mut request = Self { prefix, delimiter, max_keys, start: Place::First };
        request.start = match (text("key-marker"), query.get("version-id-marker")) {
            (None, None) => Place::First,
            (None, Some(_)) => return None,
            (Some(key), Some(id)) => Place::AfterVersion(key, VersionId::parse(id)?),
            // A page that ended with a common prefix goes on behind all its keys.
            (Some(key), None) if request.rolled_up(&key) == Some(&key) => Place::AfterAll(key),
            (Some(key), None) => Place::After(key),
        };
        Some(request)
    }

    /// A listing of all versions below this prefix, to find out whether there is one.
    pub fn below(prefix: &str, max_keys: usize) -> Self {
        let (prefix, max_keys) = (prefix.to_owned(), max_keys.clamp(1, PAGE_MAX));
        Self { prefix, delimiter: None, max_keys, start: Place::First }
    }

    /// Its parameters, encoded, without a place to begin at.
    pub fn query(&self) -> Vec<(String, String)> {
        let max_keys = self.max_keys.to_string();
        let fixed = [("versions", ""), ("encoding-type", "url"), ("max-keys", &max_keys)];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        fixed.chain([("prefix".to_owned(), encode_query(&self.prefix))]).collect()
    }

    /// The common prefix that stands for a key, if one does.
    pub fn rolled_up<'k>(&self, key: &'k str) -> Option<&'k str> {
        rolled_up(&self.prefix, self.delimiter.as_deref()?, key)
    }

    /// The parameters for the page that begins there, encoded, from the encoded ones of the client.
    pub fn placed(&self, mut query: Vec<(String, String)>, begin: &Begin) -> Vec<(String, String)> {
        let Begin { place, from_first } = begin;
        if *place == self.start && !from_first {
            return query;
        }
        query.retain(|(name, _)| match name.as_str() {
            "key-marker" | "version-id-marker" => false,
            "prefix" | "delimiter" | "max-keys" => !from_first,
            _ => true,
        });
        let mut add = |name: &str, value: &str| query.push((name.to_owned(), encode_query(value)));
        match place {
            Place::AfterVersion(key, _) if *from_first => {
                // Of the keys with this prefix it is the first.
                add("prefix", key);
                // Enough of them that some were not touched lately.
                add("max-keys", &PAGE_MAX.to_string());
            }
            Place::First => {}
            Place::After(key) => add("key-marker", key),
            // No character is higher than this.
            Place::AfterAll(prefix) => add("key-marker", &format!("{prefix}{}", char::MAX)),
            Place::AfterVersion(key, id) => {
                add("key-marker", key);
                add("version-id-marker", id.as_str());
            }
        }
        query
    }
}

/// The parameters that say which page is wanted.
const READ: [&str; 5] = ["prefix", "delimiter", "max-keys", "key-marker", "version-id-marker"];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Option<VersionsRequest> {
        VersionsRequest::of(&Query::parse(query))
    }

    fn after(key: &str, id: &str) -> Place {
        Place::AfterVersion(key.to_owned(), VersionId::parse(id).unwrap())
    }

    #[test]
    fn a_page_begins_after_a_key_a_version_or_a_common_prefix() {
        let start = |query| of(query).unwrap().start;
        assert_eq!(start("versions"), Place::First);
        assert_eq!(start("versions&key-marker="), Place::First);
        assert_eq!(start("versions&key-marker=a%2Fb"), Place::After("a/b".to_owned()));
        assert_eq!(start("versions&key-marker=a&version-id-marker=v"), after("a", "v"));
        let rolled = "versions&delimiter=/&key-marker=a/";
        assert_eq!(start(rolled), Place::AfterAll("a/".to_owned()));
        let version = "versions&delimiter=/&key-marker=a/&version-id-marker=v";
        assert_eq!(start(version), after("a/", "v"));
    }

    #[test]
    fn what_is_wrong_or_said_twice_is_left_to_the_store() {
        for query in [
            "versions&max-keys=0",
            "versions&max-keys=x",
            "versions&version-id-marker=v",
            "versions&key-marker=a&version-id-marker=",
            "versions&key-marker=a&version-id-marker=a%20b",
            "versions&prefix=a&prefix=b",
        ] {
            assert_eq!(of(query), None, "{query}");
        }
        assert_eq!(of("versions&max-keys=5000").unwrap().max_keys, 1000);
    }

    #[test]
    fn the_store_is_asked_for_the_page_that_begins_there() {
        let text = "versions=&prefix=a&delimiter=%2F&key-marker=ab&version-id-marker=v&max-keys=5";
        let request = of(text).unwrap();
        let pairs = |text: &str| -> Vec<_> {
            let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap());
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let placed =
            |place: Place, from_first| request.placed(pairs(text), &Begin { place, from_first });
        let rest = "versions=&prefix=a&delimiter=%2F&max-keys=5";
        assert_eq!(placed(after("ab", "v"), false), pairs(text));
        assert_eq!(placed(after("ab", "v"), true), pairs("versions=&prefix=ab&max-keys=1000"));
        assert_eq!(placed(Place::First, false), pairs(rest));
        let key = pairs(&format!("{rest}&key-marker=a%20c"));
        assert_eq!(placed(Place::After("a c".to_owned()), false), key);
        let version = pairs(&format!("{rest}&key-marker=ac&version-id-marker=w"));
        assert_eq!(placed(after("ac", "w"), false), version);
        let all = pairs(&format!("{rest}&key-marker=a%2F%F4%8F%BF%BF"));
        assert_eq!(placed(Place::AfterAll("a/".to_owned()), false), all);
    }
}
