use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;

use super::*;
use crate::clock::{Clock, VirtualClock};
use crate::cloud::CloudProvider;
use crate::cloud::laws::{Law, Subject};

mod behaviour;
mod faults;
mod properties;

pub(crate) use behaviour::request;

/// Drives a future to its end and lets time pass whenever it waits for that.
pub(crate) fn drive<R>(clock: &VirtualClock, future: impl Future<Output = R>) -> R {
    let mut future = std::pin::pin!(future);
    loop {
        if let Some(result) = future.as_mut().now_or_never() {
            return result;
        }
        clock.advance_to_next().expect("it waits for something that only time brings");
    }
}

struct FakeSubject {
    clock: Arc<VirtualClock>,
    cloud: FakeCloud,
}

impl FakeSubject {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(VirtualClock::new(seed));
        let cloud = FakeCloud::new(Arc::clone(&clock) as Arc<dyn Clock>, seed);
        Self { clock, cloud }
    }
}

#[async_trait]
impl Subject for FakeSubject {
    fn cloud(&self) -> Arc<dyn CloudProvider> {
        Arc::new(self.cloud.clone())
    }

    fn region(&self) -> String {
        "us-east-1".into()
    }

    async fn settle(&self) {
        self.clock.advance(Duration::from_secs(10));
    }
}

mod laws {
    use super::*;

    fn on_the_fake(law: Law) {
        let subject = FakeSubject::new(1);
        drive(&Arc::clone(&subject.clock), law(&subject));
    }

    crate::cloud_laws!(on_the_fake);
}

/// Eventual consistency and small pages break no law; nor do limits before the provider.
mod laws_of_a_slow_cloud {
    use super::*;
    use crate::cloud::{Limited, Limits};
    use crate::model::Span;

    struct Slow(FakeSubject);

    #[async_trait]
    impl Subject for Slow {
        fn cloud(&self) -> Arc<dyn CloudProvider> {
            let clock = Arc::clone(&self.0.clock) as Arc<dyn Clock>;
            Arc::new(Limited::new(self.0.cloud.clone(), clock, Limits::EC2))
        }

        fn region(&self) -> String {
            self.0.region()
        }

        async fn settle(&self) {
            self.0.settle().await;
        }
    }

    fn on_the_fake(law: Law) {
        let fake = FakeSubject::new(2);
        fake.cloud.hide_new_for(Span::from_secs(45));
        fake.cloud.set_faults(Faults { answer_delayed: 300, call_doubled: 300, ..Faults::none() });
        let cloud = fake.cloud.clone().with_page_size(2).with_throttling(Throttling::EC2);
        let clock = Arc::clone(&fake.clock);
        drive(&clock, law(&Slow(FakeSubject { cloud, ..fake })));
    }

    crate::cloud_laws!(on_the_fake);
}
