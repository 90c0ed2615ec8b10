//! Not built yet.
pub struct BlobFolder;
pub struct OutputFolder;
