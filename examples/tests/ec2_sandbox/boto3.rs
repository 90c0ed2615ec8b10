//! A client that nobody here wrote.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use examples::ec2_sandbox::{Machines, Options, Sandbox};

use super::client::skipped;

#[test]
fn boto3_finds_what_it_expects_of_ec2_sts_and_s3() {
    let python = std::env::var("DSTACK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_boto3 = Command::new(&python).args(["-c", "import boto3"]).output();
    if !has_boto3.is_ok_and(|output| output.status.success()) {
        skipped(&format!(
            "{python} has no boto3, so the sandbox was NOT tried with it (pip install boto3, DSTACK_PYTHON=...)"
        ));
        return;
    }
    let sandbox = Sandbox::start(Options {
        machines: Machines::Fake,
        boot: Duration::from_millis(100),
        shutdown: Duration::from_millis(100),
        ..Options::default()
    });
    let sandbox = sandbox.expect("it starts");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ec2_sandbox/boto3_client.py");
    let mut command = Command::new(&python);
    command.arg(script).arg(sandbox.url()).env("PYTHONDONTWRITEBYTECODE", "1");
    for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let output = command.output().expect("it was started before");
    let (printed, faults) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}\n{faults}");
    assert!(printed.contains("ok objects"), "{printed}");
}
