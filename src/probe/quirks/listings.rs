//! Listings: their order, their pages, their encoding.

use http::Method;

use super::{Judged, Quirks, row};
use crate::probe::ask::Ask;
use crate::probe::conditions::verdict::Said;
use crate::probe::finding::{Finding, Level};
use crate::probe::talk::Talk;
use crate::probe::trouble::Trouble;
use crate::s3::xml;

/// The name of the group.
pub const GROUP: &str = "listings";

/// In the order of their bytes in UTF-8, as AWS lists them. A file system would put `sub/x` before
/// `sub-x`, and other orders of text the letters.
const KEYS: [&str; 7] = ["B", "a b+c", "a/x", "sub-x", "sub/x", "\u{e9}", "\u{1f600}"];

/// More pages than there are keys.
const PAGES_MAX: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A page, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    keys: Vec<String>,
    /// What the next page is asked for with, where there is one.
    next: Option<String>,
    is_encoded: bool,
}

impl Page {
    fn parse(document: &[u8]) -> Option<Self> {
        let root = xml::parse(document).filter(|root| root.name == "ListBucketResult")?;
        let contents = root.children.iter().filter(|child| child.name == "Contents");
        let keys = contents.filter_map(|child| child.child_text("Key")).map(str::to_owned);
        let keys: Vec<_> = keys.collect();
        let is_truncated = root.child_text("IsTruncated").is_some_and(|text| text.trim() == "true");
        let named = root
            .child_text("NextContinuationToken")
            .or_else(|| root.child_text("NextMarker"))
            .filter(|text| !text.is_empty())
            .map(str::to_owned);
        // Version 1 names the next marker only where a delimiter was asked for.
        let next = named.or_else(|| keys.last().cloned()).filter(|_| is_truncated);
        let is_encoded = root.child_text("EncodingType").is_some_and(|text| text.trim() == "url");
        Some(Self { keys, next, is_encoded })
    }
}

impl Quirks<'_> {
    /// All of it.
    ///
    /// # Errors
    /// It was told to stop.
    pub async fn listings(&self) -> Result<Vec<Finding>, Trouble> {
        let mut all = Vec::new();
        for (version, name) in [(Version::Two, "V2"), (Version::One, "V1")] {
            let mut talk = Talk::new(self.at);
            let tried = self.order(&mut talk, version).await;
            all.push(row(GROUP, &format!("{name}, order"), &talk, tried)?);
            let mut talk = Talk::new(self.at);
            let tried = self.pages(&mut talk, version).await;
            all.push(row(GROUP, &format!("{name}, pages of 2"), &talk, tried)?);
        }
        let mut talk = Talk::new(self.at);
        let tried = self.encoding(&mut talk).await;
        all.push(row(GROUP, "encoding-type=url", &talk, tried)?);
        Ok(all)
    }

    /// The keys, written anew, so that each row's commands stand alone; each with its prefix.
    async fn listed_keys(&self, talk: &mut Talk<'_>) -> Result<Vec<String>, Trouble> {
        let mut all = Vec::new();
        for key in KEYS {
            let name = self.name(&format!("list/{key}"))?;
            talk.prepare(&Ask::put(&name, "1"), &name).await?;
            all.push(name.key.as_str().to_owned());
        }
        talk.lag_is_over().await;
        Ok(all)
    }

    fn listing(&self, version: Version) -> Result<(Ask, crate::s3::ObjectName), Trouble> {
        let name = self.name("list/")?;
        let ask = Ask::at(Method::GET, format!("/{}", name.bucket));
        let ask = if version == Version::Two { ask.parameter("list-type", "2") } else { ask };
        Ok((ask.parameter("prefix", name.key.as_str()), name))
    }

    async fn order(&self, talk: &mut Talk<'_>, version: Version) -> Result<Judged, Trouble> {
        let wanted = self.listed_keys(talk).await?;
        let (ask, name) = self.listing(version)?;
        let answer = talk.read(&ask, &name).await?;
        let said = Said::by_status(&answer);
        let listed = Page::parse(&answer.body).map(|page| page.keys);
        Ok(ordered(&wanted, listed, &said))
    }

    async fn pages(&self, talk: &mut Talk<'_>, version: Version) -> Result<Judged, Trouble> {
        let wanted = self.listed_keys(talk).await?;
        let (mut all, mut next): (Vec<String>, Option<String>) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let (ask, name) = self.listing(version)?;
            let mut ask = ask.parameter("max-keys", "2");
            if let Some(next) = &next {
                let parameter =
                    if version == Version::Two { "continuation-token" } else { "marker" };
                ask = ask.parameter(parameter, next);
            }
            let answer = talk.read(&ask, &name).await?;
            let Some(page) = Page::parse(&answer.body) else {
                return Ok(ordered(&wanted, None, &Said::by_status(&answer)));
            };
            all.extend(page.keys);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let said = Said { status: 200, code: String::new() };
        Ok(ordered(&wanted, Some(all), &said))
    }

    async fn encoding(&self, talk: &mut Talk<'_>) -> Result<Judged, Trouble> {
        self.listed_keys(talk).await?;
        let (ask, name) = self.listing(Version::Two)?;
        let answer = talk.read(&ask.parameter("encoding-type", "url"), &name).await?;
        let said = Said::by_status(&answer);
        Ok(encoded(Page::parse(&answer.body), &said))
    }
}

/// Whether each key is listed once, in order.
fn ordered(wanted: &[String], listed: Option<Vec<String>>, said: &Said) -> Judged {
    let Some(listed) = listed else {
        return (format!("no listing, {}", said.status), said.shown(), Level::Safe);
    };
    let (verdict, level) = if listed == wanted {
        ("as AWS", Level::Good)
    } else {
        let mut sorted = listed.clone();
        sorted.sort();
        if sorted == *wanted {
            ("OTHER ORDER", Level::Bad)
        } else if sorted.len() > wanted.len() {
            ("KEYS TWICE", Level::Bad)
        } else {
            ("KEYS MISSING", Level::Bad)
        }
    };
    (verdict.to_owned(), said.shown(), level)
}

/// Whether a page that was asked for in encoded form is.
fn encoded(page: Option<Page>, said: &Said) -> Judged {
    let (verdict, level) = match page {
        None => (format!("no listing, {}", said.status), Level::Safe),
        Some(page) => {
            let has_space = page.keys.iter().any(|key| key.contains(' '));
            match (page.is_encoded, has_space) {
                (true, false) => ("as AWS".to_owned(), Level::Good),
                (false, true) => ("not encoded".to_owned(), Level::Safe),
                (true, true) => ("SAID AND NOT DONE".to_owned(), Level::Bad),
                (false, false) => ("DONE AND NOT SAID".to_owned(), Level::Bad),
            }
        }
    };
    (verdict, said.shown(), level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn the_keys_are_in_the_order_of_their_bytes() {
        let mut sorted = KEYS;
        sorted.sort_unstable();
        assert_eq!(sorted, KEYS);
    }

    #[test]
    fn an_order_is_told_from_what_is_missing_and_what_is_there_twice() {
        let said = Said { status: 200, code: String::new() };
        let judge = |keys: &[&str]| ordered(&all(&["a", "b"]), Some(all(keys)), &said).0;
        assert_eq!(judge(&["a", "b"]), "as AWS");
        assert_eq!(judge(&["b", "a"]), "OTHER ORDER");
        assert_eq!(judge(&["a"]), "KEYS MISSING");
        assert_eq!(judge(&["a", "b", "b"]), "KEYS TWICE");
        assert_eq!(ordered(&[], None, &said).0, "no listing, 200");
    }

    #[test]
    fn a_page_says_how_the_next_one_is_asked_for() {
        let page = |inside: &str| {
            Page::parse(format!("<ListBucketResult>{inside}</ListBucketResult>").as_bytes())
                .unwrap()
        };
        let keys = "<Contents><Key>a</Key></Contents>";
        assert_eq!(page(keys).next, None);
        let more = format!("{keys}<IsTruncated>true</IsTruncated>");
        assert_eq!(page(&more).next.as_deref(), Some("a"));
        let named = format!("{more}<NextContinuationToken>t</NextContinuationToken>");
        assert_eq!(page(&named).next.as_deref(), Some("t"));
        let said = Said { status: 200, code: String::new() };
        let encoding =
            page("<EncodingType>url</EncodingType><Contents><Key>a%20b</Key></Contents>");
        assert_eq!(encoded(Some(encoding), &said).0, "as AWS");
        assert_eq!(
            encoded(Some(page("<Contents><Key>a b</Key></Contents>")), &said).0,
            "not encoded"
        );
    }
}
