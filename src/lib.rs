//! `ifmatch`: conditional writes that survive retries, on any S3.

pub mod s3;
pub mod secret;
