//! Forms of bodies: chunks, trailers, checksums, digests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::try_join_all;
use http::Method;

use super::judged::{written, written_wrongly};
use super::{Judged, Quirks, found, row};
use crate::config::Checksums;
use crate::probe::ask::{Ask, Chunks, Payload};
use crate::probe::conditions::batch_without_md5;
use crate::probe::conditions::verdict::Said;
use crate::probe::finding::{Finding, Level, follows};
use crate::probe::setting::Setting;
use crate::probe::talk::Talk;
use crate::probe::trouble::Trouble;
use crate::sigv4::{Algorithm, Checksum};

/// The name of the group.
pub const GROUP: &str = "bodies";

/// The algorithms that SDKs of AWS send by themselves or offer since 2022.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

const CONTENT: &[u8] = b"ifmatch probe: a body";

/// The checksum is that of the content.
pub const RIGHT: &str = "right";
/// It is that of another one.
pub const WRONG: &str = "wrong";

impl Quirks<'_> {
    /// All forms.
    ///
    /// # Errors
    /// It was told to stop.
    pub async fn bodies(&self) -> Result<Vec<Finding>, Trouble> {
        let chunks = |signed, trailer: bool| {
            let trailer = trailer.then(|| ("x-amz-checksum-crc32", checksum(Algorithm::Crc32)));
            Payload::Chunks(Chunks { signed, trailer })
        };
        let mut all = Vec::new();
        for (name, payload) in [
            ("unsigned", Payload::Unsigned),
            ("signed chunks", chunks(true, false)),
            ("signed chunks with a trailer", chunks(true, true)),
            ("unsigned chunks with a trailer", chunks(false, true)),
        ] {
            let mut talk = Talk::new(self.at);
            let tried = self.form(&mut talk, name, payload).await;
            all.push(row(GROUP, name, &talk, tried)?);
        }
        all.extend(self.checksums(&[RIGHT, WRONG]).await?);
        all.push(self.expect().await?);
        let mut talk = Talk::new(self.at);
        let tried = self.batch(&mut talk).await;
        all.push(row(GROUP, "batch delete without Content-MD5", &talk, tried)?);
        Ok(all)
    }

    /// What `checksums` is about: a row for each algorithm, the last of which has the setting.
    ///
    /// # Errors
    /// It was told to stop.
    pub async fn checksums(&self, cases: &[&'static str]) -> Result<Vec<Finding>, Trouble> {
        let rows = ALGORITHMS.map(|algorithm| self.algorithm(algorithm, cases));
        let mut all = try_join_all(rows).await?;
        let right = all.iter().flat_map(|row| &row.cases).filter(|case| case.case == RIGHT);
        // A store that refuses one refuses the uploads of SDKs that send it.
        let value = follows(right.map(|case| case.level), Checksums::Send, Checksums::Drop);
        if let Some(last) = all.pop() {
            all.push(last.means(value.map(Setting::Checksums)));
        }
        Ok(all)
    }

    async fn form(
        &self,
        talk: &mut Talk<'_>,
        form: &str,
        payload: Payload,
    ) -> Result<Judged, Trouble> {
        let name = self.name(&format!("body-{}", form.replace(' ', "-")))?;
        let ask = Ask { payload, ..Ask::put(&name, CONTENT) };
        let said = Said::by_status(&talk.change(&ask, &name).await?);
        let standing = talk.standing(&name).await?;
        // What is stored with its signatures is not this, and is some other content.
        Ok(written(&said, CONTENT, &ask.framed_unsigned(), &standing))
    }

    async fn algorithm(
        &self,
        algorithm: Algorithm,
        wanted: &[&'static str],
    ) -> Result<Finding, Trouble> {
        let (header, mut cases) = (algorithm.header_name(), Vec::new());
        for case in wanted.iter().copied() {
            let is_right = case == RIGHT;
            let value = if is_right { checksum(algorithm) } else { wrong_checksum(algorithm) };
            let mut talk = Talk::new(self.at);
            let tried = async {
                let name = self.name(&format!("{header}-{case}"))?;
                let ask = Ask::put(&name, CONTENT).header(header, value);
                let said = Said::by_status(&talk.change(&ask, &name).await?);
                if !is_right {
                    return Ok(written_wrongly(&said));
                }
                Ok(written(&said, CONTENT, CONTENT, &talk.standing(&name).await?))
            };
            let tried = tried.await;
            cases.push(found(case, &talk, tried)?);
        }
        Ok(Finding::of_cases(GROUP, format!("checksum {}", algorithm.name()), cases))
    }

    async fn expect(&self) -> Result<Finding, Trouble> {
        let mut talk = Talk::new(self.at);
        let tried = async {
            let name = self.name("body-expect")?;
            let ask = Ask::put(&name, CONTENT).header("expect", "100-continue");
            let said = Said::by_status(&talk.change(&ask, &name).await?);
            Ok(written(&said, CONTENT, CONTENT, &talk.standing(&name).await?))
        };
        let tried = tried.await;
        row(GROUP, "Expect: 100-continue", &talk, tried)
    }

    async fn batch(&self, talk: &mut Talk<'_>) -> Result<Judged, Trouble> {
        let name = self.name("body-batch")?;
        talk.prepare(&Ask::put(&name, CONTENT), &name).await?;
        let said = Said::by_entry(&talk.change(&batch_without_md5(&name, None), &name).await?);
        talk.change(&Ask::new(Method::DELETE, &name), &name).await?;
        let verdict = match said.status {
            200..=299 => "taken".to_owned(),
            _ if said.is_unclear() => {
                return Ok((format!("unclear {}", said.status), said.shown(), Level::Unknown));
            }
            status => format!("refused {status}"),
        };
        // AWS refuses it, and the proxy sends its own digests.
        Ok((verdict, said.shown(), Level::Good))
    }
}

fn checksum(algorithm: Algorithm) -> String {
    of(algorithm, CONTENT)
}

fn wrong_checksum(algorithm: Algorithm) -> String {
    of(algorithm, b"ifmatch probe: another body")
}

fn of(algorithm: Algorithm, content: &[u8]) -> String {
    let mut sum = Checksum::new(algorithm);
    sum.update(content);
    BASE64.encode(sum.finish())
}
