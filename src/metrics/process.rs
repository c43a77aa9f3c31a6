//! The process's own numbers, from the texts of `/proc` (proc(5)). Their names are those of
//! Prometheus's client libraries (Prometheus: Writing client libraries).

use std::time::Duration;

/// The process's own numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// What `/proc/self/stat` says.
    pub stat: Stat,
    /// Open file descriptors.
    pub open_fds: u64,
    /// How many it may have.
    pub max_fds: u64,
}

/// What `/proc/self/stat` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    /// Time of all its threads on a processor.
    pub cpu: Duration,
    /// Address space.
    pub virtual_bytes: u64,
    /// Memory that is in RAM.
    pub resident_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// When it began, since 1970.
    pub started: Duration,
}

/// The units of the system.
#[derive(Debug, Clone, Copy)]
pub struct Units {
    /// Clock ticks in a second.
    pub ticks_per_s: u64,
    /// Bytes in a page of memory.
    pub page_bytes: u64,
}

/// Reads `/proc/self/stat`. `system` is the text of `/proc/stat`, which says when the system was
/// booted. `None` where one of them is not in the form that proc(5) describes.
pub fn parse(stat: &str, system: &str, units: Units) -> Option<Stat> {
    // The second field is the program's name in parentheses, which may have any byte in it.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<_> = after_name.split_ascii_whitespace().collect();
    // proc(5) counts fields from 1; the first one behind the name is the third.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let booted =
        system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    Some(Stat {
        cpu: in_ticks(field(14)?.checked_add(field(15)?)?, units)?,
        threads: field(20)?,
        started: Duration::from_secs(booted).checked_add(in_ticks(field(22)?, units)?)?,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)?.checked_mul(units.page_bytes)?,
    })
}

fn in_ticks(ticks: u64, Units { ticks_per_s, .. }: Units) -> Option<Duration> {
    let whole = Duration::from_secs(ticks.checked_div(ticks_per_s)?);
    let rest = Duration::from_secs(1) * u32::try_from(ticks.checked_rem(ticks_per_s)?).ok()?;
    Some(whole + rest / u32::try_from(ticks_per_s).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: Units = Units { ticks_per_s: 100, page_bytes: 4096 };
    const SYSTEM: &str = "cpu  1 2 3\nbtime 1000\nprocesses 5\n";

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 8 18 250 5000 3 21\n";
        let read = parse(stat, SYSTEM, UNITS).unwrap();
        let expected = Stat {
            cpu: Duration::from_secs(2),
            virtual_bytes: 5000,
            resident_bytes: 3 * 4096,
            threads: 8,
            started: Duration::from_millis(1_002_500),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_not_in_this_form_is_no_number() {
        let whole = "7 (a) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 8 18 250 5000 3 21";
        assert!(parse(whole, SYSTEM, UNITS).is_some());
        assert!(parse(whole, "cpu 1\n", UNITS).is_none());
        assert!(parse(&whole.replace("5000", "x"), SYSTEM, UNITS).is_none());
        assert!(parse("7 (a) S 1 2", SYSTEM, UNITS).is_none());
        assert!(parse("", SYSTEM, UNITS).is_none());
        assert!(parse(whole, SYSTEM, Units { ticks_per_s: 0, page_bytes: 1 }).is_none());
    }
}
