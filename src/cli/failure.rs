//! Errors of commands, with exit codes.

use crate::config::ConfigErrors;

/// Why a command failed, for its user.
#[derive(Debug)]
pub(super) enum Failure {
    /// The arguments or settings are wrong.
    Usage(String),
    /// The command could not do its work.
    Run(String),
    /// The same, and the log has said why.
    Logged,
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Usage(errors.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Run(error.to_string())
    }
}

impl From<crate::server::StartError> for Failure {
    fn from(error: crate::server::StartError) -> Self {
        Self::Run(error.to_string())
    }
}

impl From<crate::register::RegisterError> for Failure {
    fn from(error: crate::register::RegisterError) -> Self {
        Self::Run(error.to_string())
    }
}
