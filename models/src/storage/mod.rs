//! What the storage service owns: pools, and the volumes in them.

pub mod assignment;
pub mod attachment;
pub mod storage_pool;
pub mod volume;

pub use attachment::Attachment;
pub use storage_pool::StoragePool;
pub use volume::Volume;
