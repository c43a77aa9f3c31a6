//! AWS Signature Version 4 (and, from clients, Version 2) towards two sides: a client's request is authenticated and its body
//! checked against everything that its head promised, and a request to the store is signed.
//!
//! Pure: bytes and values in, values out; no IO, and the time is an argument. A request passes
//! through the room in this order:
//!
//! 1. [`EffectiveRequest`] is the request without what belongs to its signature, and with the
//!    headers that a presigned query stands for: what everything else reads;
//! 1. [`authenticate`] proves who sent the head, and says how the body is framed
//!    ([`PayloadKind`]);
//! 2. [`BodyPromise`] collects what the head promises about the body: its length, its digests, its
//!    checksum;
//! 3. [`BodyCheck`] takes the body as it arrives, gives back the content without framing, and in
//!    the end says whether every promise was kept;
//! 4. [`sign`] signs what goes to the store.
//!
//! Errors are [`AuthError`] and [`BodyError`]; both say by [`AwsAnswer`] how AWS would answer.
//!
//! Source: AWS: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API reference, and
//! where that is silent, what AWS is seen to answer.

mod accepted;
mod answer;
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

pub use accepted::{Accepted, Authenticated};
pub use answer::AwsAnswer;
pub use auth_error::{AuthError, Mismatch};
pub use authenticate::authenticate;
pub use body_check::{BodyCheck, CheckedBody, Wanted};
pub use body_error::BodyError;
pub use checksum::{Algorithm, Checksum};
pub use chunk_chain::ChunkSeed;
pub use chunks::{Decoder, Trailers};
pub use claim::Claimed;
pub use credential::{Credential, CredentialLookup};
pub use date::AmzDate;
pub(crate) use effective::CHOOSING;
pub use effective::EffectiveRequest;
pub use key::{Scope, SigningKey, SigningKeys};
pub use mechanism::Mechanism;
pub use names::UNSIGNED_PAYLOAD;
pub use payload::{PayloadKind, unframe};
pub use post_policy::{PolicyClaim, authenticate_policy};
pub use promise::{BodyPromise, PromisedChecksum};
pub use sign::{Outgoing, SignError, sign};
pub use signature::{Hex, Signature};
