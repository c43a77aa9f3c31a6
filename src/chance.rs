//! The one place that draws lots. Everything else is handed its names.

/// A name that no other has: 32 hex digits.
pub fn name() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A number from 0 to 255.
pub fn byte() -> u8 {
    uuid::Uuid::new_v4().as_bytes()[0]
}
