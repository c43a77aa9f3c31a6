//! The walls between the rooms, as the code map in ARCHITECTURE.md draws them: no file of a room names
//! what the map says that the room does not know, and no file depends on itself by way of others.
//!
//! What counts is what a source file names in code that is not a test: its `use` lines and its paths.
//! A name that a module only passes on (`pub use`) counts for the file that defines it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

#[path = "walls/circles.rs"]
mod circles;
#[path = "walls/map.rs"]
mod map;
#[path = "walls/sources.rs"]
mod sources;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sources::Sources;

/// Read once: a parser that is not optimised takes seconds.
fn sources() -> &'static Sources {
    static SOURCES: LazyLock<Sources> = LazyLock::new(Sources::read);
    &SOURCES
}

#[test]
fn no_file_depends_on_itself_by_way_of_others() {
    let arrows = sources().arrows();
    let circles = circles::circles(&arrows);
    assert!(circles.is_empty(), "circles:\n{}", circles::in_words(&circles, &arrows));
}

#[test]
fn no_room_depends_on_itself_by_way_of_others() {
    let mut arrows = circles::Arrows::new();
    for (from, to) in sources().arrows() {
        let from = room(&from);
        let to = to.iter().map(|to| room(to)).filter(|to| *to != from);
        arrows.entry(from.clone()).or_default().extend(to);
    }
    let circles = circles::circles(&arrows);
    assert!(circles.is_empty(), "circles:\n{}", circles::in_words(&circles, &arrows));
}

/// The top-level module of a file.
fn room(path: &str) -> String {
    path.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned()
}

#[test]
fn no_room_knows_what_the_code_map_says_it_does_not() {
    let sources = sources();
    let mut wrong = vec![];
    for room in map::rooms() {
        for file in sources.files.iter().filter(|file| room.holds(&file.path)) {
            for name in &file.names {
                for word in room.forbids(name) {
                    wrong.push(format!("{} names {}: {word}", file.path, name.join("::")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_file_stands_in_the_code_map() {
    let rooms = map::rooms();
    let homeless: Vec<_> = sources()
        .files
        .iter()
        .map(|file| file.path.clone())
        .filter(|path| !["src/lib.rs", "src/main.rs"].contains(&path.as_str()))
        .filter(|path| !rooms.iter().any(|room| room.holds(path)))
        .collect();
    assert!(homeless.is_empty(), "{homeless:?}");
}

#[test]
fn each_place_of_the_code_map_holds_files() {
    let sources = sources();
    let empty: BTreeSet<_> = map::rooms()
        .iter()
        .flat_map(map::Room::places)
        .filter(|place| !sources.files.iter().any(|file| map::is_in(&file.path, place)))
        .collect();
    assert!(empty.is_empty(), "{empty:?}");
}

/// The rules would pass if the reader saw nothing.
#[test]
fn what_is_known_to_be_named_is_seen() {
    let sources = sources();
    let names = |path: &str, name: &str| {
        let name: Vec<_> = name.split("::").map(str::to_owned).collect();
        let file = sources.files.iter().find(|file| file.path == path).unwrap();
        file.names.iter().any(|seen| seen.starts_with(&name))
    };
    assert!(names("src/main.rs", "mimalloc"));
    assert!(names("src/gate/queue.rs", "tokio"));
    assert!(names("src/proxy/door.rs", "pingora"));
    assert!(names("src/register/redis/node/connections.rs", "redis"));
    assert!(!names("src/s3/mod.rs", "tokio"));
}
