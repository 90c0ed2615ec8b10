use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;

use super::*;
use crate::clock::{Clock, VirtualClock};
use crate::host::RunnerHost;
use crate::model::{Address, MachineId, Place, RunnerId};

mod behaviour;

/// Drives a future to its end and lets time pass whenever it waits for that.
fn drive<R>(clock: &VirtualClock, future: impl Future<Output = R>) -> R {
    let mut future = std::pin::pin!(future);
    loop {
        if let Some(result) = future.as_mut().now_or_never() {
            return result;
        }
        clock.advance_to_next().expect("it waits for something that only time brings");
    }
}

fn place(number: u64) -> Place {
    Place {
        runner: RunnerId::from_bits(number),
        machine: MachineId(format!("m-{number}")),
        address: Address("here".into()),
        identity: None,
    }
}

/// The laws pack files, for which the fake needs the format.
#[cfg(any(feature = "local", feature = "project"))]
mod laws {
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;

    use super::super::files::{pack, unpack};
    use super::*;
    use crate::blob::Payload;
    use crate::host::laws::{Law, Subject};

    struct FakeSubject {
        host: FakeHost,
        places: AtomicU64,
    }

    #[async_trait]
    impl Subject for FakeSubject {
        async fn place(&self) -> Place {
            place(self.places.fetch_add(1, Ordering::SeqCst))
        }

        fn host(&self) -> Arc<dyn RunnerHost> {
            Arc::new(self.host.clone())
        }

        fn pack(&self, files: &BTreeMap<String, Vec<u8>>) -> Payload {
            pack(files).expect("packing in memory works").into()
        }

        fn unpack(&self, archive: &Payload) -> BTreeMap<String, Vec<u8>> {
            let mut files = unpack(&archive.bytes().expect("it is in memory")).expect("the host packed it");
            files.retain(|path, _| !path.ends_with('/'));
            files
        }
    }

    fn on_the_fake(law: Law) {
        let clock = Arc::new(VirtualClock::new(1));
        let host = FakeHost::new(Arc::clone(&clock) as Arc<dyn Clock>, 1);
        drive(&clock, law(&FakeSubject { host, places: AtomicU64::new(1) }));
    }

    crate::host_laws!(on_the_fake);
}
