//! The configuration file: every fault is told, none is a panic, and no secret is shown.
#![no_main]

use std::cell::OnceCell;
use std::path::PathBuf;

use ifmatch::config::{Config, Flags, Sources};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FILE: OnceCell<PathBuf> = const { OnceCell::new() };
}

fuzz_target!(|text: &str| {
    // A secret's file may be any: the input must not name a device that never ends.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    let path = FILE.with(|file| {
        let name = format!("ifmatch-fuzz-{}.toml", std::process::id());
        file.get_or_init(|| std::env::temp_dir().join(name)).clone()
    });
    std::fs::write(&path, text).expect("a temporary file");
    let environment = vec![("A_SECRET".to_owned(), "hunter2hunter2".to_owned())];
    let sources = Sources { file: Some(path), environment, flags: Flags::default(), only_look: true };
    match Config::load(sources) {
        Ok(config) => assert!(!config.describe().contains("hunter2")),
        Err(errors) => {
            let told = errors.to_string();
            assert!(!errors.0.is_empty() && !told.is_empty() && !told.contains("hunter2"));
        }
    }
});
