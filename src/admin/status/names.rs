//! Names of keys, or marks in their place where they are not to be seen.

use crate::config::KeyNames;

/// Whether names are shown to somebody who knows the token, or to somebody who was not asked for it.
pub(super) fn are_shown(setting: KeyNames, told: bool) -> bool {
    match setting {
        KeyNames::Token => told,
        KeyNames::Always => true,
        KeyNames::Never => false,
    }
}

/// What is shown of a key: its name, or a mark that tells it from other keys.
pub(super) fn shown(key: String, mark: u64, names: bool) -> String {
    if names { key } else { format!("#{:08x}", mark & 0xffff_ffff) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_to_whom_the_setting_says() {
        for (setting, told, shown) in [
            (KeyNames::Token, true, true),
            (KeyNames::Token, false, false),
            (KeyNames::Always, false, true),
            (KeyNames::Never, true, false),
        ] {
            assert_eq!(are_shown(setting, told), shown, "{setting:?} {told}");
        }
        assert_eq!(shown("secret/plan".to_owned(), 0xab_0000_0012, false), "#00000012");
        assert_eq!(shown("secret/plan".to_owned(), 0xab_0000_0012, true), "secret/plan");
    }
}
