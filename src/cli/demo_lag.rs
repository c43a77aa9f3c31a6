//! `ifmatch demo --lag`: what a store that shows replaced states for a while does to two clients, alone,
//! behind a proxy that was not told, and behind one that was.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use futures_util::future::try_join_all;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};

use super::demo::{Client, Process};
use super::failure::Failure;
use super::store::must_be_built;
use crate::backend::Answer;
use crate::http1::fields::Fields;
use crate::random;
use crate::units::show_duration;

/// How many keys the two clients use, each once.
const KEYS: usize = 20;

/// Runs the demo with its own processes in its own directory, and removes them at the end.
pub(super) fn run(lag: Duration) -> Result<(), Failure> {
    must_be_built()?;
    let dir = tempfile::tempdir()?;
    let (secret, lag_text) = (random::id(), show_duration(lag));
    println!(
        "The store shows what was replaced up to {lag_text} ago. Of each of {KEYS} keys, two clients \
         do one after the\nother: A creates it, B creates it too, B reads it, B replaces it with \
         If-Match: <A's ETag>, A reads it,\nA deletes it with If-Match: <B's ETag>, B reads it.\n"
    );
    let store = Process::store(dir.path(), &secret, &["--ignore-conditions", "--lag", &lag_text])?;
    let untold = proxy(dir.path(), "untold", &secret, &store.address, "0s")?;
    let told = proxy(dir.path(), "told", &secret, &store.address, &show_duration(lag * 6 / 5))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let endings = runtime.block_on(async {
        let mut endings = Vec::new();
        // Keys of its own for each: what the others write goes around a proxy.
        for (name, process) in [("alone", &store), ("untold", &untold), ("told", &told)] {
            endings.push(play(name, &process.address, &secret).await?);
        }
        Ok::<_, Failure>(endings)
    })?;
    print!("{}", table(&endings));
    let wrong = endings.last().is_none_or(Ending::is_wrong);
    if wrong {
        return Err(Failure::Run("the proxy that was told gave a wrong answer: a bug".to_owned()));
    }
    Ok(())
}

fn proxy(dir: &Path, name: &str, secret: &str, store: &str, lag: &str) -> Result<Process, Failure> {
    let config = dir.join(format!("{name}.toml"));
    let mut text = format!("writers = \"exclusive\"\n[register]\nlag = \"{lag}\"\n");
    if lag != "0s" {
        text.push_str("[backend]\nread_patience = \"15s\"\n");
        text.push_str("[[rule]]\nbuckets = [\"*\"]\nconsistency = \"guarded\"\n");
    }
    std::fs::write(&config, text)?;
    Process::proxy(&dir.join(name), secret, store, Some(&config))
}

/// How many answers were not AWS's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ending {
    second_creates: usize,
    refused_replacements: usize,
    refused_deletes: usize,
    old_reads: usize,
}

impl Ending {
    fn is_wrong(&self) -> bool {
        *self != Self::default()
    }
}

fn table(endings: &[Ending]) -> String {
    type Count = fn(&Ending) -> usize;
    let rows: [(&str, Count); 4] = [
        ("second creates that succeeded", |it| it.second_creates),
        ("replacements that were refused", |it| it.refused_replacements),
        ("deletes that were refused", |it| it.refused_deletes),
        ("reads that showed something older", |it| it.old_reads),
    ];
    let mut text = String::new();
    let heads = ["the store alone", "ifmatch, not told", "ifmatch, told"];
    let mut line = |name: &str, columns: Vec<String>| {
        let _ = write!(text, "  {name:<34}");
        for column in columns {
            let _ = write!(text, "{column:>19}");
        }
        text.push('\n');
    };
    line("", heads.map(str::to_owned).to_vec());
    for (name, count) in rows {
        line(name, endings.iter().map(|ending| count(ending).to_string()).collect());
    }
    text.push('\n');
    text
}

async fn play(name: &str, address: &str, secret: &str) -> Result<Ending, Failure> {
    let first = Client::new(address, secret).await?;
    let second = Client::new(address, secret).await?;
    first.create_bucket().await?;
    let stories = (0..KEYS).map(|key| story(&first, &second, format!("/demo/{name}-{key}")));
    let mut all = Ending::default();
    for one in try_join_all(stories).await? {
        all.second_creates += one.second_creates;
        all.refused_replacements += one.refused_replacements;
        all.refused_deletes += one.refused_deletes;
        all.old_reads += one.old_reads;
    }
    Ok(all)
}

async fn story(a: &Client, b: &Client, path: String) -> Result<Ending, Failure> {
    let mut ending = Ending::default();
    let if_absent = || Fields::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("*"))]);
    let if_match = |etag: &HeaderValue| Fields::from_iter([(IF_MATCH, etag.clone())]);
    let created = a.ask(Method::PUT, &path, "A", if_absent()).await?;
    let mut etag = etag_of(&created)?;
    let mut content = "A";
    let again = b.ask(Method::PUT, &path, "B too", if_absent()).await?;
    if again.status.is_success() {
        ending.second_creates += 1;
        (etag, content) = (etag_of(&again)?, "B too");
    }
    let shows = |answer: &Answer, content: &str| usize::from(answer.body != content.as_bytes());
    ending.old_reads += shows(&b.ask(Method::GET, &path, "", Fields::new()).await?, content);
    let replaced = b.ask(Method::PUT, &path, "B", if_match(&etag)).await?;
    if replaced.status.is_success() {
        (etag, content) = (etag_of(&replaced)?, "B");
    } else {
        ending.refused_replacements += 1;
    }
    ending.old_reads += shows(&a.ask(Method::GET, &path, "", Fields::new()).await?, content);
    let deleted = a.ask(Method::DELETE, &path, "", if_match(&etag)).await?;
    if !deleted.status.is_success() {
        ending.refused_deletes += 1;
        return Ok(ending);
    }
    let gone = b.ask(Method::GET, &path, "", Fields::new()).await?;
    ending.old_reads += usize::from(gone.status != StatusCode::NOT_FOUND);
    Ok(ending)
}

fn etag_of(answer: &Answer) -> Result<HeaderValue, Failure> {
    let etag = answer.headers.get(ETAG).cloned();
    etag.ok_or_else(|| Failure::Run(format!("a write was answered {}", answer.status)))
}
