//! May this Redis be used at all? Judged by its `INFO`.

/// `Err` says what is wrong with the server and what to do about it.
pub(super) fn judge(info: &str) -> Result<(), String> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
    };
    let version = field("redis_version").unwrap_or("unknown");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < MAJOR_MIN) {
        return Err(format!(
            "its version is {version}, and {MAJOR_MIN}.0 or later is needed. Upgrade it"
        ));
    }
    if field("role") != Some("master") {
        return Err(REPLICA.to_owned());
    }
    if field("cluster_enabled").is_some_and(|enabled| enabled != "0") {
        return Err(
            "it runs in cluster mode, which is not supported yet. Use a Redis that is not \
                    part of a cluster"
                .to_owned(),
        );
    }
    let policy = field("maxmemory_policy").unwrap_or("unknown");
    if policy != "noeviction" && field("maxmemory") != Some("0") {
        return Err(format!(
            "its maxmemory_policy is {policy}, by which it may throw leases away. Set it to \
             noeviction"
        ));
    }
    Ok(())
}

/// What is wrong with a replica.
pub(super) const REPLICA: &str =
    "it is a replica, which must not decide. Point register.url at the master";

const MAJOR_MIN: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nmaxmemory:0\r\n\
        maxmemory_policy:noeviction\r\n# Replication\r\nrole:master\r\n\
        # Cluster\r\ncluster_enabled:0\r\n";

    #[test]
    fn a_server_that_cannot_keep_the_promise_is_refused_with_advice() {
        for (found, instead, advice) in [
            ("version:7.0.15", "version:6.2.14", "Upgrade it"),
            ("version:7.0.15", "version:new", "Upgrade it"),
            ("redis_version", "version", "Upgrade it"),
            ("role:master", "role:slave", "Point register.url at the master"),
            ("cluster_enabled:0", "cluster_enabled:1", "not supported yet"),
            ("maxmemory:0\r\nmaxmemory_policy:noeviction", "maxmemory:1", "Set it to noeviction"),
            (
                "maxmemory:0\r\nmaxmemory_policy:noeviction",
                "maxmemory:1000\r\nmaxmemory_policy:allkeys-lru",
                "Set it to noeviction",
            ),
        ] {
            let info = GOOD.replace(found, instead);
            assert_ne!(info, GOOD, "{found}");
            let sentence = judge(&info).unwrap_err();
            assert!(sentence.contains(advice), "{instead}: {sentence}");
        }
    }

    #[test]
    fn any_later_version_will_do_and_a_policy_matters_only_under_a_limit() {
        for (found, instead) in [
            ("7.0.15", "8.4.0"),
            ("7.0.15", "10.0.0-rc1"),
            ("policy:noeviction", "policy:allkeys-lru"),
            ("maxmemory:0", "maxmemory:1000000"),
        ] {
            assert_eq!(judge(&GOOD.replace(found, instead)), Ok(()), "{instead}");
        }
    }
}
