//! What a machine of EC2 is asked in its own shell, whom that asks, and that nothing leaves this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use dstack_aws::EAR;

/// A request as a metadata service sees it: its first line, and its headers by their names in small letters.
type Asked = (String, BTreeMap<String, String>);
/// An answer: a status with its words, and a body.
type Answer = (&'static str, &'static str);

const NOTICE: &str = r#"{"action": "terminate", "time": "2026-08-01T10:02:00Z"}"#;
const TOKEN: &str = "AQAEAL_x-9.=/+==";
const ABSENT: Answer = ("404 Not Found", "<html>404</html>");

/// A metadata service on loopback that answers sessions and questions like this; it ends with the test's process.
struct Service {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Service {
    fn start(session: Answer, action: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = read(&stream);
                let answer = if request.0.starts_with("PUT ") { session } else { action };
                noted.lock().expect("no test panics here").push(request);
                let (status, body) = answer;
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // Who asked may not read all of it.
                let _ = (&stream).write_all((head + body).as_bytes());
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics here").clone()
    }
}

fn read(stream: &TcpStream) -> Asked {
    let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap_or_default());
    let first = lines.next().unwrap_or_default();
    let headers = lines.take_while(|line| !line.is_empty());
    let headers =
        headers.filter_map(|line| Some((line.split_once(": ")?.0.to_lowercase(), line.split_once(": ")?.1.to_owned())));
    (first, headers.collect())
}

fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A machine with these programs and no others, whose user's own settings and environment name a proxy that is not there.
struct Machine {
    folder: tempfile::TempDir,
    endpoint: Option<String>,
}

impl Machine {
    fn with(programs: &[(&str, &str)], endpoint: Option<&str>) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        fs::create_dir(folder.path().join("bin")).expect("it is new");
        for (name, program) in programs {
            let Some(found) = which(program) else {
                let warning = format!("\nSKIPPED: {program} is not installed, so it was NOT tried\n");
                let _ = std::io::stderr().lock().write_all(warning.as_bytes());
                return None;
            };
            symlink(found, folder.path().join("bin").join(name)).expect("it is new");
        }
        fs::write(folder.path().join(".curlrc"), "proxy = http://127.0.0.1:1\noutput = stolen\n").expect("it is new");
        fs::write(folder.path().join(".wgetrc"), "http_proxy = http://127.0.0.1:1\n").expect("it is new");
        Some(Self { folder, endpoint: endpoint.map(str::to_owned) })
    }

    /// Asks once in this shell: nothing where it cannot, else whether somebody answered, and what is printed.
    fn hear(&self, shell: &[&str]) -> Option<(bool, String)> {
        let text = format!("{}\ncan_hear || exit 99\nhear", EAR.script);
        let program = which(shell[0]).expect("it was asked for before");
        let mut command = Command::new(program);
        command.args(&shell[1..]).args(["-c", &text]).env_clear().current_dir(self.folder.path());
        command.env("PATH", self.folder.path().join("bin")).env("HOME", self.folder.path());
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"] {
            command.env(name, "http://127.0.0.1:1");
        }
        if let Some(endpoint) = &self.endpoint {
            command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint);
        }
        let output = command.stdin(Stdio::null()).output().expect("it is a program");
        let printed = String::from_utf8(output.stdout).expect("the tests' words are text");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell:?}");
        (output.status.code() != Some(99)).then_some((output.status.success(), printed))
    }
}

const CURL: &[(&str, &str)] = &[("curl", "curl"), ("head", "head")];
const WGET: &[(&str, &str)] = &[("wget", "wget"), ("head", "head"), ("grep", "grep")];

/// Each way to ask in each shell: does this with a machine that asks at this address.
fn in_each_way(endpoint: &str, check: impl Fn(Option<(bool, String)>, &str)) {
    for (name, programs) in [("curl", CURL), ("wget", WGET)] {
        let Some(machine) = Machine::with(programs, Some(endpoint)) else { continue };
        for shell in [&["dash"][..], &["bash", "--posix"], &["bash"], &["busybox", "sh"]] {
            if which(shell[0]).is_none() {
                let _ = std::io::stderr().lock().write_all(format!("\nSKIPPED: {shell:?} was NOT tried\n").as_bytes());
                continue;
            }
            check(machine.hear(shell), &format!("{name} in {shell:?}"));
            assert!(!machine.folder.path().join("stolen").exists(), "the user's own settings have no part in it");
        }
    }
}

#[test]
fn an_announcement_is_asked_for_in_a_session_and_without_a_proxy() {
    let service = Service::start(("200 OK", TOKEN), ("200 OK", NOTICE));
    let ways = Mutex::new(0);
    in_each_way(&service.url, |heard, way| {
        assert_eq!(heard, Some((true, NOTICE.to_owned())), "{way}");
        *ways.lock().expect("no test panics here") += 1;
    });
    let asked = service.asked();
    assert_eq!(asked.len(), 2 * *ways.lock().expect("no test panics here"));
    for pair in asked.chunks(2) {
        assert_eq!(pair[0].0, "PUT /latest/api/token HTTP/1.1");
        assert_eq!(pair[0].1["x-aws-ec2-metadata-token-ttl-seconds"], "60");
        assert_eq!(pair[1].0, "GET /latest/meta-data/spot/instance-action HTTP/1.1");
        assert_eq!(pair[1].1["x-aws-ec2-metadata-token"], TOKEN);
    }
}

#[test]
fn where_nothing_is_announced_there_is_an_answer_without_words() {
    let service = Service::start(("200 OK", TOKEN), ABSENT);
    in_each_way(&format!("{}/", service.url), |heard, way| assert_eq!(heard, Some((true, String::new())), "{way}"));
}

#[test]
fn who_gives_no_session_is_no_metadata_service() {
    for session in [ABSENT, ("403 Forbidden", "no"), ("500 Oops", TOKEN), ("200 OK", "")] {
        let service = Service::start(session, ("200 OK", NOTICE));
        in_each_way(&service.url, |heard, way| assert_eq!(heard, Some((false, String::new())), "{way} {session:?}"));
        assert!(service.asked().iter().all(|(line, _)| line.starts_with("PUT ")), "{session:?}");
    }
    // Nobody is there.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free");
    in_each_way(&format!("http://{free}"), |heard, way| assert_eq!(heard, Some((false, String::new())), "{way}"));
}

#[test]
fn a_session_that_is_none_goes_no_further() {
    for session in ["$(touch pwned)", "a\"\nurl = \"file:///etc/passwd", "a b", "<html>", "-x\r\nHost: y"] {
        let service = Service::start(("200 OK", session), ("200 OK", NOTICE));
        in_each_way(&service.url, |heard, way| assert_eq!(heard, Some((false, String::new())), "{way}"));
        assert!(service.asked().iter().all(|(line, _)| line.starts_with("PUT ")), "{session}");
    }
}

#[test]
fn of_a_long_answer_a_thousand_bytes_are_taken() {
    let long: &'static str = Box::leak("x".repeat(300_000).into_boxed_str());
    let service = Service::start(("200 OK", TOKEN), ("200 OK", long));
    in_each_way(&service.url, |heard, way| assert_eq!(heard, Some((true, "x".repeat(1_000))), "{way}"));
}

/// Nobody waits for more than the two seconds that a question may take.
#[test]
fn who_takes_the_call_and_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    for programs in [CURL, WGET] {
        let Some(machine) = Machine::with(programs, Some(&format!("http://{address}"))) else { continue };
        assert_eq!(machine.hear(&["dash"]), Some((false, String::new())));
        let (mut stream, _) = listener.accept().expect("it was called");
        let mut request = Vec::new();
        // It has hung up, so this has an end.
        stream.read_to_end(&mut request).expect("it was asked something");
        assert!(request.starts_with(b"PUT /latest/api/token "));
    }
}

/// The one address that is asked by default is never called here: what stands in for `curl` only notes what it was given.
#[test]
fn by_default_the_address_of_ec2_is_asked() {
    let machine = Machine::with(&[("head", "head")], None).expect("every system has it");
    let stand_in = machine.folder.path().join("bin/curl");
    fs::write(&stand_in, "#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"$HOME/called\"\nprintf token\n").expect("it is new");
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).expect("it is ours");
    assert_eq!(machine.hear(&["dash"]), Some((true, "token".to_owned())));
    let called = fs::read_to_string(machine.folder.path().join("called")).expect("it was called");
    let lines: Vec<&str> = called.lines().collect();
    assert!(lines[0].ends_with(" http://169.254.169.254/latest/api/token"), "{called}");
    assert!(lines[1].ends_with(" http://169.254.169.254/latest/meta-data/spot/instance-action"), "{called}");
    assert!(lines.iter().all(|line| line.starts_with("-q ") && line.contains(" --noproxy * ")), "{called}");
}

#[test]
fn without_curl_and_gnu_wget_or_a_plain_address_a_machine_cannot_ask() {
    let nowhere = "http://127.0.0.1:1";
    for programs in [&[("head", "head"), ("grep", "grep")][..], &[("wget", "busybox"), ("grep", "grep")]] {
        let Some(machine) = Machine::with(programs, Some(nowhere)) else { continue };
        assert_eq!(machine.hear(&["dash"]), None, "{programs:?}");
    }
    for endpoint in ["https://127.0.0.1:1", "127.0.0.1:1", "-o", "file:///etc/passwd", "http://"] {
        let machine = Machine::with(CURL, Some(endpoint)).expect("curl is installed");
        assert_eq!(machine.hear(&["dash"]), None, "{endpoint}");
    }
}
