//! The replacement of the store in a build without the cargo feature `embedded`: it refuses to
//! serve. All builds contain it, so that it is always compiled and tested.

use std::future::{Future, Ready, ready};
use std::path::PathBuf;

use super::parts::{EmbeddedError, EmbeddedStore, NOT_BUILT, Options};
use crate::sigv4::Credential;

/// Why this build has no store, and which build has one.
pub const ABSENCE: Option<&str> = Some(NOT_BUILT);

/// Does not serve.
///
/// # Errors
/// Always [`EmbeddedError::NotBuilt`].
pub fn serve(
    _dir: PathBuf,
    _credential: &Credential,
    _options: Options,
    _shutdown: impl Future<Output = ()> + Send + 'static,
) -> Ready<Result<EmbeddedStore, EmbeddedError>> {
    ready(Err(EmbeddedError::NotBuilt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[tokio::test]
    async fn a_store_that_was_not_built_says_so_and_makes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("store");
        let credential = Credential {
            access_key_id: "key".to_owned(),
            secret: Secret::new("secret"),
            session_token: None,
        };
        let served = serve(dir.clone(), &credential, Options::default(), async {}).await;
        assert_eq!(Some(served.unwrap_err().to_string().as_str()), ABSENCE);
        assert!(!dir.exists());
    }
}
