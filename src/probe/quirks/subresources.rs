//! Subresources of objects: whether the store knows them, or takes a request about one for a request about
//! the object.

use http::{Method, header};

use super::judged::beside;
use super::{Quirks, found};
use crate::probe::ask::Ask;
use crate::probe::conditions::verdict::Said;
use crate::probe::finding::{CaseFinding, Finding, Level};
use crate::probe::setting::Setting;
use crate::probe::talk::Talk;
use crate::probe::trouble::Trouble;
use crate::s3::subresource::{Described, SubresourceAnswer, is_understood};
use crate::s3::{ETag, Subresource, Understood};

/// The name of the group.
pub const GROUP: &str = "subresources";

const CONTENT: &[u8] = b"ifmatch probe: an object";

/// What is written to a subresource. A lock is not set: the object could not be deleted afterwards.
const TAGS: &str = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";

/// A parameter that no store knows.
const UNKNOWN: &str = "ifmatch-probe";

impl Quirks<'_> {
    /// All subresources that a read can prove, and one that nobody knows.
    ///
    /// # Errors
    /// It was told to stop.
    pub async fn subresources(&self) -> Result<Vec<Finding>, Trouble> {
        let provable = |known: &Subresource| known.proofs().is_some();
        let mut all = self.of(Subresource::ALL.into_iter().filter(provable)).await?;
        let unknown = self.written("write", UNKNOWN, "a content".to_owned()).await?;
        // AWS ignores a parameter that it does not know: the object is what is written.
        let level = if unknown.level == Level::Bad { Level::Good } else { unknown.level };
        let verdict = unknown.verdict.to_lowercase();
        let unknown = CaseFinding { verdict, level, ..unknown };
        all.push(Finding::single(GROUP, format!("?{UNKNOWN}, which nobody knows"), unknown));
        Ok(all)
    }

    /// What `subresources` is about: a row for each of these, the last of which has the setting.
    ///
    /// # Errors
    /// It was told to stop.
    pub async fn of(
        &self,
        asked: impl Iterator<Item = Subresource>,
    ) -> Result<Vec<Finding>, Trouble> {
        let (mut all, mut understood, mut is_clear) = (Vec::new(), Understood::NONE, true);
        for known in asked {
            let mut cases = vec![self.read(known).await?];
            let is_known = cases.iter().all(|case| case.level == Level::Good);
            if let Some(ask) = write_of(known) {
                cases.push(self.written("write", known.name(), ask).await?);
            }
            // A store may answer the read of one that it does not know how to write.
            if is_known && cases.iter().all(|case| case.level < Level::Unknown) {
                understood = understood.with(known);
            }
            is_clear &= cases.iter().all(|case| case.level != Level::Unknown);
            all.push(Finding::of_cases(GROUP, format!("?{}", known.name()), cases));
        }
        let seen = is_clear.then_some(Setting::Subresources(understood));
        if let Some(last) = all.pop() {
            all.push(last.means(seen));
        }
        Ok(all)
    }

    async fn read(&self, known: Subresource) -> Result<CaseFinding, Trouble> {
        let mut talk = Talk::new(self.at);
        let tried = async {
            let name = self.name(&format!("subresource-{}", known.name()))?;
            let put = talk.prepare(&Ask::put(&name, CONTENT), &name).await?;
            let etag =
                |from: Option<&http::HeaderValue>| from.map(|etag| ETag::parse(etag.as_bytes()));
            let object = Described {
                etag: etag(put.headers.get(header::ETAG)),
                size_bytes: Some(CONTENT.len() as u64),
            };
            let get = Ask::new(Method::GET, &name).parameter(known.name(), "");
            let answer = talk.read(&get, &name).await?;
            let shown = etag(answer.headers.get(header::ETAG));
            let status = answer.status.as_u16();
            let seen = SubresourceAnswer { status, etag: shown.as_ref(), body: &answer.body };
            let said = Said::by_status(&answer);
            Ok(if is_understood(known, &object, seen) {
                ("known".to_owned(), said.shown(), Level::Good)
            } else if answer.body == CONTENT {
                ("taken for the object".to_owned(), said.shown(), Level::Safe)
            } else {
                (format!("not known, {status}"), said.shown(), Level::Safe)
            })
        };
        let tried = tried.await;
        found("read", &talk, tried)
    }

    async fn written(
        &self,
        case: &str,
        parameter: &str,
        document: String,
    ) -> Result<CaseFinding, Trouble> {
        let mut talk = Talk::new(self.at);
        let tried = async {
            let name = self.name(&format!("subresource-{parameter}-write"))?;
            talk.prepare(&Ask::put(&name, CONTENT), &name).await?;
            let ask = Ask::put(&name, document).parameter(parameter, "").with_md5();
            let said = Said::by_status(&talk.change(&ask, &name).await?);
            Ok(beside(&said, CONTENT, &talk.standing(&name).await?))
        };
        let tried = tried.await;
        found(case, &talk, tried)
    }
}

/// What is written to this subresource, where that does no harm.
fn write_of(known: Subresource) -> Option<String> {
    (known == Subresource::Tagging).then(|| TAGS.to_owned())
}
