//! Bugs on purpose: what the checks are checked with.
//!
//! Each is a switch at the place where the mistake would be made, and is on in no program: only with the feature `planted`,
//! and there only for as long as one is planted. Without the feature every switch is the constant `false`.

/// Whether this build can be made wrong at all. Nothing that keeps a log may be built like that.
pub const IS_ON: bool = cfg!(feature = "planted");

macro_rules! bugs {
    ($($bug:ident $name:literal $about:literal)+) => {
        /// A mistake that somebody could make.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $(#[doc = $about] $bug,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug),+];

            /// What it is called.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }

            /// What is wrong with it.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$bug => $about,)+
                }
            }
        }
    };
}

bugs! {
    AnyExitSucceeds "any-exit-succeeds" "A command's exit code is not looked at."
    ArtifactsDropped "artifacts-dropped" "An artifact that a runner could not hand over just now is left out."
    ArtifactsUndeclared "artifacts-undeclared" "A declared artifact that is not there is not missed."
    AttemptReused "attempt-reused" "The next attempt of a workflow has the number of the last one."
    BusyStopped "busy-stopped" "A runner is stopped for being idle by the plan that gives it work."
    CapacityFreesSlot "capacity-frees-slot" "A refusal frees the slot, whatever was sent before under other claims."
    CapIgnored "cap-ignored" "A rule's maximum is not looked at."
    ChangedIgnored "changed-ignored" "That another machine answers in the runner's place is not recorded."
    ClaimClosedAtSight "claim-closed-at-sight" "A claim of somebody else is closed as soon as it is seen."
    ClaimDropped "claim-dropped" "A launch is sent without a claim of one's own."
    ClaimRenewedOpen "claim-renewed-open" "A runner is claimed again while its claim is open."
    ClaimWithoutMargin "claim-without-margin" "A claim is closed when its time is over, without the margin."
    ClockInFold "clock-in-fold" "The fold asks a clock."
    CloseForgotten "close-forgotten" "A running command whose user stops it is left alone."
    ConflictIgnored "conflict-ignored" "An append is taken at whatever place the log has reached."
    DeniedIsCertificate "denied-is-certificate" "Denied on a second send proves that the first launched nothing."
    DisabledIgnored "disabled-ignored" "Runners are launched while autoscaling is off."
    DisableKeeps "disable-keeps" "Runners stay when autoscaling is switched off."
    EarlyLookCounts "early-look-counts" "A look that began before the launch counts as missing its machine."
    ExclusiveShared "exclusive-shared" "A runner that one attempt has for itself is shared."
    FactDoubled "fact-doubled" "Facts are recorded twice."
    FailedDependencyCounts "failed-dependency-counts" "What failed releases what depends on it."
    FailedLookCounts "failed-look-counts" "A look that failed has seen nothing, and is complete."
    FollowForgotten "follow-forgotten" "What was started is not followed."
    ForeignClaim "foreign-claim" "A claim that somebody else made is taken for one's own."
    FsyncSkipped "fsync-skipped" "What is held is not made durable before it is acted on."
    HaltedIsOver "halted-is-over" "A halted machine is taken for a terminated one."
    IdleTooEarly "idle-too-early" "A controller has nothing left to do while machines live."
    KnownIdDrawn "known-id-drawn" "A launch id that the log knows is not drawn anew."
    LateMachineForgotten "late-machine-forgotten" "A machine that turns up after its runner was stopped is not recorded."
    LateSend "late-send" "A launch is sent though its claim has run out."
    ListenForgotten "listen-forgotten" "Nobody hears what runners are told of their own end."
    LogTimeProves "log-time-proves" "Absence is proven by log time alone, which a set clock makes jump."
    LookInsteadOfRedelivery "look-instead-of-redelivery" "One look that shows nothing takes the place of sending again."
    LostIsSuccess "lost-is-success" "A process that is gone without an exit record has succeeded."
    LoweredKeeps "lowered-keeps" "Runners beyond a lowered maximum stay."
    MachineAfterEndIgnored "machine-after-end-ignored" "A machine of a runner that was believed over is ignored."
    NotFoundTrusted "not-found-trusted" "Not found, said of a termination, proves that the machine is gone."
    NoticeLost "notice-lost" "The cloud's announcements are not recorded."
    OldLossCounts "old-loss-counts" "The loss of an earlier attempt ends the one of today."
    OneLookProves "one-look-proves" "One look without the machine proves that it is gone."
    OtherAccountsLook "other-accounts-look" "A look at another account is evidence of this one."
    OutputCutShort "output-cut-short" "An exit is recorded before all output has come."
    OutputGap "output-gap" "Output goes on one byte after where it ended."
    Overcommitted "overcommitted" "Work is put on a runner that has no room for it."
    PageTwoIgnored "page-two-ignored" "Only the first page of a listing is read."
    PlannedUncounted "planned-uncounted" "Launches of the same plan are not counted."
    QueueForgets "queue-forgets" "A workflow whose attempt was lost is not queued again."
    ReadOnlyIgnored "read-only-ignored" "Who cannot read all of the log writes to it."
    ReleasedBeforeKept "released-before-kept" "The attempt's folder is emptied before its results are home."
    RemovedKeeps "removed-keeps" "Runners of a removed rule stay."
    RequeuedAtStop "requeued-at-stop" "Work is queued again before its runner is proven gone."
    RoomNotReturned "room-not-returned" "What an attempt took of its runner is not given back."
    SettleSkipped "settle-skipped" "Absence counts before new machines must show in listings."
    ShuttingDownIsOver "shutting-down-is-over" "A machine that shuts down is taken for a terminated one."
    SkipForgotten "skip-forgotten" "What depends on a failed workflow waits for ever."
    SnapshotForgets "snapshot-forgets" "A snapshot's place in the chain is not taken up."
    StartAfterClose "start-after-close" "An attempt that was closed is started all the same."
    StartWithoutBegun "start-without-begun" "An attempt that was begun is started again."
    StopForgotten "stop-forgotten" "That a user stops a running workflow is not kept."
    StoppedRequeues "stopped-requeues" "A stopped workflow whose attempt was lost is queued again."
    StrangerEnded "stranger-ended" "Machines with the log's tag and no token are ended."
    TerminateForgotten "terminate-forgotten" "Stopping runners' machines are left running."
    TimeFreesSlot "time-frees-slot" "A claim that was outwaited proves that nothing was launched."
    TimersDead "timers-dead" "No timer ever fires."
    TokenPerSend "token-per-send" "The provider is sent another token each time."
    TokenReused "token-reused" "All launches have one token."
    UnknownIsNothing "unknown-is-nothing" "A send without an answer is taken for one that did nothing."
    UnknownIsRefusal "unknown-is-refusal" "A send without an answer is taken for a refusal."
    UnreachableIsLost "unreachable-is-lost" "A runner that cannot be reached has lost its work."
    UnusedIsCertificate "unused-is-certificate" "An unused claim frees the slot, whatever was sent under earlier ones."
    VanishedFolderIsEmpty "vanished-folder-is-empty" "An attempt whose folder is gone has left nothing behind, and that is fine."
    WakeForgotten "wake-forgotten" "A controller does not wake for the plan's timers."
}

impl std::fmt::Display for Bug {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Whether this bug is planted in this thread.
#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use on::{Planted, plant};
#[cfg(feature = "planted")]
pub(crate) use on::{fold_clock, is};

#[cfg(feature = "planted")]
mod on {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static READ: Cell<i64> = const { Cell::new(0) };
    }

    pub(crate) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// A bug that stays planted in this thread until this is dropped.
    #[must_use = "the bug is gone when this is dropped"]
    #[derive(Debug)]
    pub struct Planted(());

    /// Plants a bug in this thread.
    pub fn plant(bug: Bug) -> Planted {
        PLANTED.set(Some(bug));
        Planted(())
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.set(None);
        }
    }

    /// A clock for a fold that asks one: no two answers are equal, and equal seeds still give equal schedules.
    pub(crate) fn fold_clock() -> i64 {
        READ.set(READ.get() + 1);
        READ.get()
    }
}

/// What a fold that asks a clock is told.
#[cfg(not(feature = "planted"))]
pub(crate) const fn fold_clock() -> i64 {
    0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn bugs_are_many_and_each_has_its_name_for_itself() {
        let names: BTreeSet<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
        assert!(Bug::ALL.len() >= 50, "{}", Bug::ALL.len());
    }

    /// A switch that no code asks plants nothing, and a hunt for it says nothing.
    #[test]
    fn each_bug_has_its_place_in_the_code() {
        let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut asked = String::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("it is ours").map(|entry| entry.expect("it is ours").path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if !entry.ends_with("src/planted.rs") && entry.extension().is_some_and(|it| it == "rs") {
                    asked += &std::fs::read_to_string(entry).expect("it is text");
                }
            }
        }
        let words: BTreeSet<_> = asked.split(|it: char| !it.is_alphanumeric() && it != ':').collect();
        let without: Vec<_> = Bug::ALL.iter().filter(|bug| !words.contains(format!("Bug::{bug:?}").as_str())).collect();
        assert!(without.is_empty(), "{without:?}");
    }
}
