//! Not built yet.
pub struct SecretFile;
