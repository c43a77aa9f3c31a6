//! A request's query: its parameters, decoded once.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::code::Code;
use super::encoding::{decode, decode_query};
use super::error::S3Error;

/// The query of a request. `+` is a space (docs/decisions/0035-plus-signs.md).
///
/// It is decoded only here, so that every reader sees the same query. The text as sent is kept
/// beside it, since signatures cover that text.
#[derive(Debug, Clone, Default)]
pub struct Query {
    sent: String,
    parameters: Vec<Parameter>,
    fault: Option<Fault>,
}

#[derive(Debug, Clone)]
struct Parameter {
    name: Part,
    value: Part,
}

/// A name or a value.
#[derive(Debug, Clone)]
struct Part {
    /// Its place in the text as sent.
    at: Range<usize>,
    /// Its decoded text, where that differs.
    decoded: Option<String>,
}

/// Why a query is refused.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Undecodable,
    TooLong,
}

impl Query {
    /// Parses the text after the first `?` of a request's target, as sent. A parameter without `=`
    /// has the empty value. A text that cannot be decoded stays as it was sent: call
    /// [`Query::check`] before anything else.
    pub fn parse(sent: &str) -> Self {
        #[cfg(test)]
        crate::readings::count("query");
        let mut query = Self { sent: sent.to_owned(), ..Self::default() };
        let mut start = 0;
        for (number, pair) in sent.split('&').enumerate() {
            if number >= PARAMETERS_MAX {
                query.fault = Some(Fault::TooLong);
                break;
            }
            let end = start + pair.len();
            if !pair.is_empty() {
                let name_end = start + pair.find('=').unwrap_or(pair.len());
                let name = query.part(start..name_end);
                let value = query.part(end.min(name_end + 1)..end);
                query.parameters.push(Parameter { name, value });
            }
            start = end + 1;
        }
        query
    }

    fn part(&mut self, at: Range<usize>) -> Part {
        let sent = &self.sent[at.clone()];
        if !sent.contains(['%', '+']) {
            return Part { at, decoded: None };
        }
        let decoded = decode_query(sent);
        if decoded.is_none() {
            self.fault = Some(Fault::Undecodable);
        }
        Part { at, decoded }
    }

    /// 400 `InvalidURI` for a query that cannot be decoded, and for one so long that some servers
    /// would read only a part of it: the parameters that they skip may make it another request.
    pub fn check(&self) -> Result<(), S3Error> {
        match self.fault {
            None => Ok(()),
            Some(Fault::Undecodable) => Err(S3Error::new(Code::InvalidUri)),
            Some(Fault::TooLong) => {
                Err(S3Error::new(Code::InvalidUri).because(TOO_MANY_PARAMETERS))
            }
        }
    }

    /// The text as sent; after [`Query::retain`], the remaining pairs as sent.
    pub fn as_sent(&self) -> &str {
        &self.sent
    }

    /// The parameters in order, names and values as sent (still percent-encoded).
    pub fn pairs_as_sent(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let sent = |part: &Part| &self.sent[part.at.clone()];
        self.parameters.iter().map(move |parameter| (sent(&parameter.name), sent(&parameter.value)))
    }

    /// The parameters in order, decoded: for all readers but the signature check.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.parameters
            .iter()
            .map(|parameter| (self.text(&parameter.name), self.text(&parameter.value)))
    }

    /// The value, decoded, of the first parameter of this name.
    pub fn get(&self, wanted: &str) -> Option<&str> {
        self.get_all(wanted).next()
    }

    /// The values, decoded, of all parameters of this name, in order.
    pub fn get_all(&self, wanted: &str) -> impl Iterator<Item = &str> {
        self.parameters().filter(move |(name, _)| *name == wanted).map(|(_, value)| value)
    }

    /// The same values with an unencoded `+` as itself. Numbers and ids are judged in this form:
    /// the store defines its ids, and none contains a blank.
    pub fn get_all_literally(&self, wanted: &str) -> impl Iterator<Item = Cow<'_, str>> {
        let named = self.parameters.iter().filter(move |it| self.text(&it.name) == wanted);
        named.map(|parameter| {
            let sent = &self.sent[parameter.value.at.clone()];
            // A text that cannot be decoded is refused elsewhere.
            let literal = sent.contains('+').then(|| decode(sent).unwrap_or_default());
            literal.map_or_else(|| self.text(&parameter.value).into(), Cow::Owned)
        })
    }

    /// Whether there is a parameter of this name, however it is spelled.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Keeps the parameters whose decoded names `keep` accepts. Nothing is decoded again.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        if self.parameters().all(|(name, _)| keep(name)) {
            return;
        }
        let mut sent = String::with_capacity(self.sent.len());
        let mut kept = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            if !keep(self.text(&parameter.name)) {
                continue;
            }
            if !sent.is_empty() {
                sent.push('&');
            }
            let moved = |part: &Part, sent: &mut String| {
                let start = sent.len();
                sent.push_str(&self.sent[part.at.clone()]);
                Part { at: start..sent.len(), decoded: part.decoded.clone() }
            };
            let name = moved(&parameter.name, &mut sent);
            if !parameter.value.at.is_empty() {
                sent.push('=');
            }
            let value = moved(&parameter.value, &mut sent);
            kept.push(Parameter { name, value });
        }
        (self.sent, self.parameters) = (sent, kept);
    }

    fn text<'a>(&'a self, part: &'a Part) -> &'a str {
        part.decoded.as_deref().unwrap_or_else(|| &self.sent[part.at.clone()])
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sent)
    }
}

/// Node's `querystring` reads 1000 parameters, including empty ones, as do PHP and Tomcat. AWS
/// documents no limit, and no operation of S3 has thirty; a presigned URL may carry metadata of up
/// to 2 KiB.
const PARAMETERS_MAX: usize = 256;

const TOO_MANY_PARAMETERS: &str =
    "The query has more than 256 parameters, and not every server reads all of so many.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_once_and_in_one_way() {
        let query = Query::parse("prefix=foo+bar%2F&&version%49d=a%2Bb&empty&=&a%2541=1");
        let read: Vec<_> = query.parameters().collect();
        let expected =
            [("prefix", "foo bar/"), ("versionId", "a+b"), ("empty", ""), ("", ""), ("a%41", "1")];
        assert_eq!(read, expected);
        assert_eq!(query.get("versionId"), Some("a+b"));
        assert!(query.has("empty") && !query.has("version%49d"));
        let literal = |query: &str| Query::parse(query).get_all_literally("a").collect::<String>();
        assert_eq!(["a=b+%20c", "a=%2B", "%61=b"].map(literal), ["b+ c", "+", "b"]);
        assert!(query.check().is_ok());
        for broken in ["a=%zz", "%zz", "a=b&versionId=%ff", "%C3=b", "a=%", "a=+%"] {
            let refused = Query::parse(broken).check().unwrap_err();
            assert_eq!(refused.code(), "InvalidURI", "{broken}");
        }
    }

    #[test]
    fn no_parameter_stands_where_a_server_may_have_stopped_reading() {
        let check = |query: &str| Query::parse(query).check();
        for pad in ["x-a", "", "a=b"] {
            assert!(check(&format!("{}uploadId=u", format!("{pad}&").repeat(255))).is_ok());
            let refused = check(&format!("{}uploadId=u", format!("{pad}&").repeat(256)));
            assert_eq!(refused.unwrap_err().code(), "InvalidURI", "{pad}");
        }
    }

    #[test]
    fn what_is_left_of_a_query_can_be_chosen() {
        let mut query = Query::parse("a=1&b&pre%66ix=x+y%2F&=c&x-id=1");
        query.retain(|name| matches!(name, "a" | "prefix"));
        assert_eq!(query.as_sent(), "a=1&pre%66ix=x+y%2F");
        assert_eq!(query.parameters().collect::<Vec<_>>(), [("a", "1"), ("prefix", "x y/")]);
        let sent: Vec<_> = query.pairs_as_sent().collect();
        assert_eq!(sent, [("a", "1"), ("pre%66ix", "x+y%2F")]);
        query.retain(|_| false);
        assert_eq!((query.as_sent(), query.parameters().count()), ("", 0));
    }
}
