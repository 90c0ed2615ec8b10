//! What every clock promises. [`clock_laws!`](crate::clock_laws) makes one test of each law.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Clock;

/// Boot time never runs backwards.
pub async fn boot_time_never_runs_backwards(clock: &dyn Clock) {
    let mut last = clock.boot();
    for _ in 0..1_000 {
        let now = clock.boot();
        assert!(now >= last, "{now:?} came after {last:?}");
        last = now;
    }
}

/// A sleeper never returns before its moment, whether that is ahead or behind.
pub async fn sleep_until_never_returns_early(clock: &dyn Clock) {
    for length in [Duration::ZERO, Duration::from_micros(1), Duration::from_millis(3)] {
        let moment = clock.boot().plus(length);
        clock.sleep_until(moment).await;
        assert!(clock.boot() >= moment, "woke at {:?} before {moment:?}", clock.boot());
    }
}

/// No two draws of entropy are equal.
pub async fn entropy_differs_between_calls(clock: &dyn Clock) {
    let draws: BTreeSet<_> = (0..1_000).map(|_| clock.entropy()).collect();
    assert_eq!(draws.len(), 1_000);
}

/// Makes one test of each law of a clock; the argument gives an `Arc` of it. Needs tokio with `macros`, `rt` and `time`.
#[macro_export]
macro_rules! clock_laws {
    ($make:expr) => {
        $crate::clock_laws!(@each $make;
            boot_time_never_runs_backwards,
            sleep_until_never_returns_early,
            entropy_differs_between_calls,
        );
    };
    (@each $make:expr; $($law:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $law() {
                let clock = $make;
                $crate::clock::laws::$law(&*clock).await;
            }
        )*
    };
}
