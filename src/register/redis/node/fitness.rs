//! Fitness check of a Redis server: judged by its `INFO` and, where another server may take its
//! place, by some of its configuration.

use std::collections::HashMap;
use std::time::Duration;

use crate::register::RegisterError;
use crate::register::redis::error::CallError;

/// The requirements on a server.
#[derive(Debug, Clone)]
pub(crate) struct Demands {
    pub(crate) setting: Setting,
    /// For how long at most a replaced master may go on granting leases: a quarantine waits for it.
    pub(crate) failover_lag: Duration,
    /// An operator has set `failover_lag`, and is responsible for it where the server does not show
    /// its configuration.
    pub(crate) lag_is_stated: bool,
}

/// The kind of Redis installation that the server is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// A single server: where a replica of it is promoted, the proxies are not told.
    Alone,
    /// A single server, of which no replica is ever promoted.
    AloneForGood,
    /// Sentinels watch it; the proxies ask them for the master.
    Watched,
    /// A cluster; the proxies ask its members for the masters, and use an answer for
    /// `snapshot_ttl`.
    Cluster { snapshot_ttl: Duration },
}

/// What else has to be known about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The configuration that makes it stop when this many replicas are lost.
    MinReplicas { connected: u64 },
    /// The time after which it stops when it is cut off.
    NodeTimeout { snapshot_ttl: Duration },
}

/// Why a server must not be used, and what an operator has to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// It is older than the oldest supported version.
    #[error("its version is {version}, and {MAJOR_MIN}.0 or later is needed. Upgrade it")]
    OldVersion { version: String },
    /// It is a replica.
    #[error("{}", CallError::Demoted)]
    Replica,
    /// It may evict keys when its memory is full.
    #[error(
        "its maxmemory_policy is {policy}, by which it may throw leases away. Set it to noeviction"
    )]
    Evicts { policy: String },
    /// A cluster is configured, and the server is not part of one.
    #[error(
        "it is not part of a cluster. Write redis:// instead of redis+cluster:// in register.url"
    )]
    NoCluster,
    /// A single server is configured, and the server is part of a cluster.
    #[error(
        "it is part of a cluster. Write redis+cluster:// in register.url, and name some of the \
         cluster's servers"
    )]
    PartOfCluster,
    /// It has replicas, and it does not show its configuration.
    #[error(
        "{}, and it does not tell its {MIN_REPLICAS} and {MAX_LAG} (CONFIG GET is refused). Allow \
         +config|get, or {WAYS_OUT}",
        replicas(*connected)
    )]
    MinReplicasUntold { connected: u64 },
    /// It would go on granting leases after one of its replicas was promoted.
    #[error(
        "{}, its {MIN_REPLICAS} is {least} and its {MAX_LAG} {lag_s}: were a replica promoted, \
         this server would go on granting. Set {MIN_REPLICAS} to {connected} and {MAX_LAG} to a \
         few seconds, or {WAYS_OUT}",
        replicas(*connected)
    )]
    TooFewReplicasDemanded { connected: u64, least: u64, lag_s: u64 },
    /// It notices the promotion of a replica later than the quarantine of a new master allows for.
    #[error(
        "{}, and notices the loss of one only after its {MAX_LAG}, {lag_s} s, and {} more. Set \
         register.failover_lag, for all proxies, to {} or more, or {WAYS_OUT}",
        replicas(*connected),
        seconds(LAG_ROUNDING),
        seconds(*needed)
    )]
    NoticesLate { connected: u64, lag_s: u64, needed: Duration },
    /// It is part of a cluster, and it does not show its configuration.
    #[error(
        "it does not tell its {NODE_TIMEOUT} (CONFIG GET is refused). Allow +config|get, or set \
         register.failover_lag, for all proxies, to that timeout and {} more",
        seconds(*snapshot_ttl)
    )]
    NodeTimeoutUntold { snapshot_ttl: Duration },
    /// Its cluster may replace it later than the quarantine of a new master allows for.
    #[error(
        "its {NODE_TIMEOUT} is {}, so that after a failover the old master may be asked for {} \
         (half a lease more). Set register.failover_lag, for all proxies, to {} or more, or lower \
         the timeout",
        seconds(*timeout),
        seconds(*needed),
        seconds(*needed)
    )]
    ReplacedLate { timeout: Duration, needed: Duration },
}

impl From<Unfit> for CallError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Replica => Self::Demoted,
            unfit => RegisterError::Unsuitable(unfit.to_string()).into(),
        }
    }
}

/// Judges a server by its `INFO`. `Ok` says what else has to be known about it.
pub(crate) fn judge(info: &str, demands: &Demands) -> Result<Option<Wanted>, Unfit> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
    };
    let version = field("redis_version").unwrap_or("unknown");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < MAJOR_MIN) {
        return Err(Unfit::OldVersion { version: version.to_owned() });
    }
    if field("role") != Some("master") {
        return Err(Unfit::Replica);
    }
    let policy = field("maxmemory_policy").unwrap_or("unknown");
    if policy != "noeviction" && field("maxmemory") != Some("0") {
        return Err(Unfit::Evicts { policy: policy.to_owned() });
    }
    let in_cluster = field("cluster_enabled").is_some_and(|enabled| enabled != "0");
    let connected = field("connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(0);
    match demands.setting {
        Setting::Cluster { snapshot_ttl } if in_cluster => {
            Ok(Some(Wanted::NodeTimeout { snapshot_ttl }))
        }
        Setting::Cluster { .. } => Err(Unfit::NoCluster),
        _ if in_cluster => Err(Unfit::PartOfCluster),
        Setting::Alone if connected > 0 => Ok(Some(Wanted::MinReplicas { connected })),
        Setting::Alone | Setting::AloneForGood | Setting::Watched => Ok(None),
    }
}

impl Wanted {
    /// The parameters to ask for.
    pub(crate) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::MinReplicas { .. } => &[MIN_REPLICAS, MAX_LAG],
            Self::NodeTimeout { .. } => &[NODE_TIMEOUT],
        }
    }

    /// As [`judge`], by the server's configuration; `None` where the server does not show it.
    pub(crate) fn judge(
        self,
        configuration: Option<&HashMap<String, String>>,
        demands: &Demands,
    ) -> Result<(), Unfit> {
        let number = |name: &str| configuration.and_then(|all| all.get(name)?.parse::<u64>().ok());
        match self {
            Self::MinReplicas { connected } => {
                let (Some(least), Some(lag_s)) = (number(MIN_REPLICAS), number(MAX_LAG)) else {
                    return Err(Unfit::MinReplicasUntold { connected });
                };
                min_replicas(connected, least, lag_s, demands)
            }
            Self::NodeTimeout { snapshot_ttl } => match number(NODE_TIMEOUT) {
                Some(millis) => node_timeout(Duration::from_millis(millis), snapshot_ttl, demands),
                None if demands.lag_is_stated => Ok(()),
                None => Err(Unfit::NodeTimeoutUntold { snapshot_ttl }),
            },
        }
    }
}

/// A master stops once fewer than `least` replicas have answered within `lag_s` seconds. It stops
/// at the promotion of any one replica only if `least` is the number of all its replicas (F2).
fn min_replicas(connected: u64, least: u64, lag_s: u64, demands: &Demands) -> Result<(), Unfit> {
    if lag_s == 0 || least < connected {
        return Err(Unfit::TooFewReplicasDemanded { connected, least, lag_s });
    }
    let needed = Duration::from_secs(lag_s) + LAG_ROUNDING;
    if needed > demands.failover_lag {
        return Err(Unfit::NoticesLate { connected, lag_s, needed });
    }
    Ok(())
}

fn node_timeout(timeout: Duration, snapshot_ttl: Duration, demands: &Demands) -> Result<(), Unfit> {
    let needed = timeout + snapshot_ttl;
    if needed > demands.failover_lag {
        return Err(Unfit::ReplacedLate { timeout, needed });
    }
    Ok(())
}

fn replicas(connected: u64) -> String {
    match connected {
        1 => "it has a replica".to_owned(),
        more => format!("it has {more} replicas"),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

const MAJOR_MIN: u32 = 7;
const MIN_REPLICAS: &str = "min-replicas-to-write";
const MAX_LAG: &str = "min-replicas-max-lag";
const NODE_TIMEOUT: &str = "cluster-node-timeout";
const WAYS_OUT: &str = "reach it through its Sentinels (redis+sentinel://), or, if no replica is \
                        ever promoted behind this address, set register.replicas to \
                        \"never-promoted\"";

/// Redis counts a replica's silence in whole seconds, and checks it once a second (measured).
const LAG_ROUNDING: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory:0\r\n\
        maxmemory_policy:noeviction\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\
        # Cluster\r\ncluster_enabled:0\r\n";
    const CLUSTER: Setting = Setting::Cluster { snapshot_ttl: Duration::from_secs(3) };

    fn demands(setting: Setting) -> Demands {
        Demands { setting, failover_lag: Duration::from_secs(12), lag_is_stated: false }
    }

    #[test]
    fn a_server_that_cannot_keep_the_promise_is_refused_with_advice() {
        for (found, instead, advice) in [
            ("version:7.0.15", "version:6.2.14", "Upgrade it"),
            ("version:7.0.15", "version:new", "Upgrade it"),
            ("redis_version", "version", "Upgrade it"),
            ("role:master", "role:slave", "Point register.url at the master"),
            ("cluster_enabled:0", "cluster_enabled:1", "Write redis+cluster://"),
            ("maxmemory:0\r\nmaxmemory_policy:noeviction", "maxmemory:1", "Set it to noeviction"),
            (
                "maxmemory:0\r\nmaxmemory_policy:noeviction",
                "maxmemory:1000\r\nmaxmemory_policy:allkeys-lru",
                "Set it to noeviction",
            ),
        ] {
            let info = GOOD.replace(found, instead);
            assert_ne!(info, GOOD, "{found}");
            let sentence = judge(&info, &demands(Setting::Alone)).unwrap_err().to_string();
            assert!(sentence.contains(advice), "{instead}: {sentence}");
        }
        let sentence = judge(GOOD, &demands(CLUSTER)).unwrap_err().to_string();
        assert!(sentence.contains("Write redis://"), "{sentence}");
    }

    #[test]
    fn any_later_version_will_do_and_a_policy_matters_only_under_a_limit() {
        for (found, instead) in [
            ("7.0.15", "8.4.0"),
            ("7.0.15", "10.0.0-rc1"),
            ("policy:noeviction", "policy:allkeys-lru"),
            ("maxmemory:0", "maxmemory:1000000"),
        ] {
            let info = GOOD.replace(found, instead);
            assert_eq!(judge(&info, &demands(Setting::Alone)), Ok(None), "{instead}");
        }
    }

    #[test]
    fn where_another_server_may_take_its_place_more_has_to_be_known() {
        let replicas = GOOD.replace("connected_slaves:0", "connected_slaves:2");
        let cluster = GOOD.replace("cluster_enabled:0", "cluster_enabled:1");
        for (info, setting, wanted) in [
            (&replicas, Setting::Alone, Some(Wanted::MinReplicas { connected: 2 })),
            (&replicas, Setting::AloneForGood, None),
            (&replicas, Setting::Watched, None),
            (&cluster, CLUSTER, Some(Wanted::NodeTimeout { snapshot_ttl: Duration::from_secs(3) })),
        ] {
            assert_eq!(judge(info, &demands(setting)), Ok(wanted), "{setting:?}");
        }
    }

    /// The message for these parameters.
    fn told(wanted: Wanted, parameters: Option<&[(&str, u64)]>, stated: bool) -> String {
        let all = parameters.map(|all| {
            all.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
        });
        let demands = Demands { lag_is_stated: stated, ..demands(Setting::Alone) };
        wanted
            .judge(all.as_ref(), &demands)
            .err()
            .map(|unfit| unfit.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn a_master_that_would_not_notice_the_promotion_of_a_replica_is_refused() {
        let wanted = Wanted::MinReplicas { connected: 2 };
        let of = |least, lag| told(wanted, Some(&[(MIN_REPLICAS, least), (MAX_LAG, lag)]), true);
        for (least, lag, advice) in [
            (2, 10, ""),
            (3, 1, ""),
            (1, 10, "Set min-replicas-to-write to 2"),
            (0, 10, "Set min-replicas-to-write to 2"),
            (2, 0, "Set min-replicas-to-write to 2"),
            (2, 11, "register.failover_lag, for all proxies, to 13 s"),
        ] {
            let sentence = of(least, lag);
            assert!(sentence.contains(advice), "{least} {lag}: {sentence}");
            assert_eq!(sentence.is_empty(), advice.is_empty(), "{least} {lag}: {sentence}");
        }
        let untold = told(wanted, None, true);
        assert!(untold.contains("Allow +config|get"), "{untold}");
    }

    #[test]
    fn a_cluster_that_takes_longer_to_replace_a_master_is_refused() {
        let wanted = Wanted::NodeTimeout { snapshot_ttl: Duration::from_secs(3) };
        for (millis, advice) in [(9_000, ""), (9_001, "register.failover_lag")] {
            let sentence = told(wanted, Some(&[(NODE_TIMEOUT, millis)]), false);
            assert_eq!(sentence.is_empty(), advice.is_empty(), "{millis}: {sentence}");
            assert!(sentence.contains(advice), "{millis}: {sentence}");
        }
        assert_eq!(told(wanted, None, true), "");
        let untold = told(wanted, None, false);
        assert!(untold.contains("CONFIG GET is refused"), "{untold}");
    }
}
