//! The pure rooms alone: that this compiles shows that they need nothing that does IO.
//!
//! Their tests run in the program's crate; here they are left out, and what they need with them.
#![cfg(not(test))]
#![allow(dead_code, unused_imports, reason = "what other rooms use of them is not here")]

#[path = "../../../src/http1/mod.rs"]
pub mod http1;
#[path = "../../../src/s3/mod.rs"]
pub mod s3;
#[path = "../../../src/secret.rs"]
pub mod secret;
#[path = "../../../src/shares.rs"]
pub mod shares;
#[path = "../../../src/sigv4/mod.rs"]
pub mod sigv4;
#[path = "../../../src/units.rs"]
pub mod units;

#[path = "../../../src/register"]
pub mod register {
    //! The pure part of the register.

    pub mod record;
    pub mod steps;
    pub mod types;
    pub mod waiters;
    pub mod young;

    pub use steps::*;
    pub use types::*;
    pub use young::*;
}
