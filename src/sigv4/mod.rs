//! AWS Signature Version 4 (and, from clients, Version 2) on both sides: a client's request is
//! authenticated and its body verified against all promises in its head, and a request to the store
//! is signed.
//!
//! Pure: bytes and values in, values out; no IO, and the time is an argument. A request passes
//! through the module in this order:
//!
//! 1. [`EffectiveRequest`] is the request without the parts of its signature, and with the headers
//!    that a presigned query stands for: all other modules read it;
//! 2. [`authenticate`] verifies who sent the head, and says how the body is framed
//!    ([`PayloadKind`]);
//! 3. [`BodyPromise`] collects the promises of the head about the body: its length, its digests,
//!    its checksum;
//! 4. [`BodyCheck`] processes the body as it arrives, returns the content without framing, and at
//!    the end says whether every promise was kept;
//! 5. [`sign`] signs the request to the store.
//!
//! Errors are [`AuthError`] and [`BodyError`]; both give AWS's answer by [`AwsError`].
//!
//! Source: AWS: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API reference, and
//! where that says nothing, the observed answers of AWS.

mod accepted;
mod auth_error;
mod authenticate;
mod body_check;
mod body_error;
mod canonical;
mod checksum;
mod chunk_chain;
mod chunks;
mod claim;
mod credential;
mod date;
mod effective;
mod error;
mod form_claim;
mod key;
mod mechanism;
mod names;
mod payload;
mod post_policy;
mod promise;
mod sign;
mod signature;
mod version_2;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;

pub use accepted::{Accepted, Authenticated, WhichSecret};
pub use auth_error::{AuthError, Mismatch};
pub use authenticate::authenticate;
pub use body_check::{BodyCheck, CheckedBody, Wanted};
pub use body_error::BodyError;
pub use checksum::{Algorithm, Checksum};
pub use chunk_chain::ChunkSeed;
pub use chunks::{Decoder, Trailers};
pub use claim::{Claimed, expires_seconds};
pub use credential::{Credential, CredentialLookup};
pub use date::AmzDate;
pub(crate) use effective::CHOOSING;
pub use effective::EffectiveRequest;
pub use error::AwsError;
pub use key::{Scope, SigningKey, SigningKeys};
pub use mechanism::Mechanism;
pub use names::UNSIGNED_PAYLOAD;
pub use payload::{PayloadKind, unframe};
pub use post_policy::{PolicyClaim, PolicyOwner, authenticate_policy};
pub use promise::{BodyPromise, PromisedChecksum};
pub use sign::{Outgoing, SignError, presign, sign};
pub use signature::{Hex, Signature};
