//! The laws of all hosts hold over SSH.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;

use super::sshd::{Servers, block_on, which};
use crate::blob::Payload;
use crate::host::RunnerHost;
use crate::host::laws::{self, Law, Subject};
use crate::host::test_archive::{pack, unpack};
use crate::model::Place;

#[async_trait]
impl Subject for Arc<Servers> {
    async fn place(&self) -> Place {
        self.start()
    }

    fn host(&self) -> Arc<dyn RunnerHost> {
        Servers::host(self)
    }

    fn pack(&self, files: &BTreeMap<String, Vec<u8>>) -> Payload {
        pack(files)
    }

    fn unpack(&self, archive: &Payload) -> BTreeMap<String, Vec<u8>> {
        unpack(archive)
    }
}

fn drive(law: Law) {
    if let Some(servers) = Servers::new("the laws of hosts over SSH") {
        block_on(async { law(&servers).await });
    }
}

crate::host_laws!(drive);

/// Where there is nothing but busybox, its commands are enough.
#[test]
fn the_commands_of_busybox_are_enough() {
    let Some(busybox) = which("busybox") else {
        let _ = std::io::stderr().lock().write_all(b"\nSKIPPED: busybox is not installed, so it was NOT checked\n");
        return;
    };
    let laws: [Law; 9] = [
        |subject| Box::pin(laws::a_long_script_runs_as_a_short_one_does(subject)),
        |subject| Box::pin(laws::an_attempt_is_started_at_most_once(subject)),
        |subject| Box::pin(laws::output_larger_than_a_chunk_comes_whole(subject)),
        |subject| Box::pin(laws::a_timeout_ends_a_job(subject)),
        |subject| Box::pin(laws::a_stopped_job_is_asked_first(subject)),
        |subject| Box::pin(laws::a_job_given_up_is_lost(subject)),
        |subject| Box::pin(laws::staging_again_changes_nothing(subject)),
        |subject| Box::pin(laws::artifacts_come_home(subject)),
        |subject| Box::pin(laws::release_keeps_the_verdict(subject)),
    ];
    for law in laws {
        let servers = Servers::with_search_path("runners with busybox", |root| {
            let folder = root.join("busybox");
            std::fs::create_dir(&folder).expect("it is new");
            let made = Command::new(&busybox).args(["--install", "-s"]).arg(&folder).status();
            assert!(made.expect("it is a program").success());
            Some(folder.display().to_string())
        });
        if let Some(servers) = servers {
            block_on(async { law(&servers).await });
        }
    }
}
