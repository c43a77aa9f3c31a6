//! Names of keys: pairs that AWS keeps apart, and that some stores take for one object.

use futures_util::future::try_join;

use super::judged::{apart, written};
use super::{Quirks, row};
use crate::probe::ask::Ask;
use crate::probe::conditions::verdict::Said;
use crate::probe::finding::{Finding, follows};
use crate::probe::setting::Setting;
use crate::probe::talk::{Standing, Talk};
use crate::probe::trouble::Trouble;
use crate::s3::{DotSegments, EmptySegments};

/// The name of the group.
pub const GROUP: &str = "keys";

/// The longest key, in bytes (AWS: Naming Amazon S3 objects).
const KEY_BYTES_MAX: usize = 1024;

/// The name of a row, and two keys; what comes first is written first.
type Pair = (&'static str, &'static str, &'static str);

const EMPTY: Pair = ("a//b and a/b", "k1//b", "k1/b");
const DOTS: [Pair; 2] =
    [("a/./b and a/b", "k2/./b", "k2/b"), ("a/../b and b", "k3/x/../b", "k3/b")];

/// The accents are one character, and a letter with a combining one.
const OTHERS: [Pair; 6] = [
    ("a/ and a", "k4/a/", "k4/a"),
    ("a/b and a", "k5/a", "k5/a/b"),
    ("A and a", "k6/KEY", "k6/key"),
    ("é composed and not", "k7/\u{e9}", "k7/e\u{301}"),
    ("a+b and a b", "k8/a+b", "k8/a b"),
    ("a%41 and aA", "k9/a%41", "k9/aA"),
];

const FIRST: &[u8] = b"ifmatch probe: one key";
const SECOND: &[u8] = b"ifmatch probe: the other key";

impl Quirks<'_> {
    /// All pairs, and the longest key.
    ///
    /// # Errors
    /// It was told to stop.
    pub async fn keys(&self) -> Result<Vec<Finding>, Trouble> {
        let mut all = vec![self.empty_segments().await?];
        all.extend(self.dot_segments().await?);
        for pair in OTHERS {
            all.push(self.pair(pair).await?);
        }
        all.push(self.longest().await?);
        Ok(all)
    }

    /// What `empty_segments` is about.
    ///
    /// # Errors
    /// As above.
    pub async fn empty_segments(&self) -> Result<Finding, Trouble> {
        let row = self.pair(EMPTY).await?;
        let value = follows([row.level], EmptySegments::Kept, EmptySegments::Refused);
        Ok(row.means(value.map(Setting::EmptySegments)))
    }

    /// What `dot_segments` is about: both rows, the last of which has the setting.
    ///
    /// # Errors
    /// As above.
    pub async fn dot_segments(&self) -> Result<Vec<Finding>, Trouble> {
        let [one, other] = DOTS;
        let (one, other) = try_join(self.pair(one), self.pair(other)).await?;
        let value = follows([one.level, other.level], DotSegments::Kept, DotSegments::Refused);
        Ok(vec![one, other.means(value.map(Setting::DotSegments))])
    }

    async fn pair(&self, (name, one, other): Pair) -> Result<Finding, Trouble> {
        let mut talk = Talk::new(self.at);
        let tried = async {
            let (one, other) = (self.name(one)?, self.name(other)?);
            let first = Said::by_status(&talk.change(&Ask::put(&one, FIRST), &one).await?);
            let second = Said::by_status(&talk.change(&Ask::put(&other, SECOND), &other).await?);
            let standing = match (first.status, second.status) {
                (200..=299, 200..=299) => talk.standing(&one).await?,
                // What is refused cannot be read either.
                _ => Standing::Nothing,
            };
            Ok(apart(&first, &second, FIRST, &standing))
        };
        let tried = tried.await;
        row(GROUP, name, &talk, tried)
    }

    async fn longest(&self) -> Result<Finding, Trouble> {
        let mut talk = Talk::new(self.at);
        let tried = async {
            let begun = self.name("l")?.key.as_str().len();
            let rest = long_segments(KEY_BYTES_MAX.saturating_sub(begun));
            let name = self.name(&format!("l{rest}"))?;
            let said = Said::by_status(&talk.change(&Ask::put(&name, FIRST), &name).await?);
            Ok(written(&said, FIRST, FIRST, &talk.standing(&name).await?))
        };
        let tried = tried.await;
        row(GROUP, "a key of 1024 bytes", &talk, tried)
    }
}

/// So many bytes, in segments of at most 200, which a file system can name.
fn long_segments(bytes: usize) -> String {
    let byte = |at: usize| if at % 200 == 199 && at + 1 < bytes { '/' } else { 'x' };
    (0..bytes).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_has_no_segment_that_is_too_long_or_empty() {
        for bytes in [1, 199, 200, 201, 400, 983] {
            let text = long_segments(bytes);
            assert_eq!(text.len(), bytes);
            assert!(text.split('/').all(|it| (1..=200).contains(&it.len())), "{bytes}: {text}");
        }
    }
}
