//! The clocks of the nodes beside each other, by the dates of their answers.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;

use crate::clock;
use crate::probe::advice::Contradiction;
use crate::probe::ask::Ask;
use crate::probe::site::Site;
use crate::s3::conditional::sent_at_s;
use crate::units::show_duration;

/// By how much the clock of a node may be ahead of ours: at least, and at most, in seconds. A date is in
/// whole seconds, and was made between the request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ahead {
    least_s: i64,
    most_s: i64,
}

impl Ahead {
    /// Of an answer with this date, where our clock showed these whole seconds before and after.
    fn of(before_s: i64, dated_s: i64, after_s: i64) -> Self {
        Self { least_s: dated_s - (after_s + 1), most_s: dated_s + 1 - before_s }
    }

    /// By how much the two clocks differ at least, in seconds.
    fn apart_s(self, other: Self) -> i64 {
        (self.least_s - other.most_s).max(other.least_s - self.most_s).max(0)
    }
}

/// The two nodes whose clocks differ most, where that is by more than `backend.clock_skew` says. A node that
/// sends no date proves nothing.
pub(super) async fn asked(
    sites: &[Site],
    skew: Duration,
    bucket: &str,
) -> Option<(Vec<String>, Contradiction)> {
    let ask = Ask::at(Method::HEAD, format!("/{bucket}"));
    let dated = join_all(sites.iter().map(|site| async {
        let before_s = clock::unix_seconds();
        let answer = site.ask(&ask).await.ok()?;
        let dated_s = sent_at_s(&answer.headers)?;
        Some((site.name(), Ahead::of(before_s, dated_s, clock::unix_seconds())))
    }));
    let dated: Vec<_> = dated.await.into_iter().flatten().collect();
    contradiction(&dated, skew)
}

fn contradiction(dated: &[(&str, Ahead)], skew: Duration) -> Option<(Vec<String>, Contradiction)> {
    let pairs = dated.iter().enumerate().flat_map(|(at, one)| {
        dated.iter().skip(at + 1).map(move |other| (one.0, other.0, one.1.apart_s(other.1)))
    });
    let (one, other, apart_s) = pairs.max_by_key(|(_, _, apart_s)| *apart_s)?;
    let apart = Duration::from_secs(u64::try_from(apart_s).unwrap_or(0));
    let differ = || Contradiction {
        sentence: format!(
            "backend.clock_skew is {}, and the clocks of two nodes differ by at least {apart_s} s",
            show_duration(skew)
        ),
        remedy: "set the clocks of the nodes by NTP, or write a longer clock_skew in [backend]; \
                 clock_skew = \"0s\" where the store does not order writes by clocks"
            .to_owned(),
    };
    (apart > skew).then(|| (vec![one.to_owned(), other.to_owned()], differ()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_by_what_no_moment_explains() {
        let skew = Duration::from_millis(250);
        let said = |one, other| contradiction(&[("n1", one), ("n2", other)], skew);
        let right = Ahead::of(100, 100, 100);
        assert_eq!(said(right, Ahead::of(100, 101, 100)), None, "a second began");
        assert_eq!(said(right, Ahead::of(100, 102, 103)), None, "its answer took so long");
        let (nodes, late) = said(right, Ahead::of(100, 40, 100)).unwrap();
        assert!(
            late.sentence.ends_with("the clocks of two nodes differ by at least 58 s"),
            "{late}"
        );
        assert_eq!(nodes, ["n1", "n2"]);
        assert_eq!(contradiction(&[("n1", right)], skew), None);
    }
}
