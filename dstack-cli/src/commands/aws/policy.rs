//! `dstack aws policy`: the least permissions, made of the calls that are really made.

use dstack_aws::Setup;

use crate::app::App;
use crate::failure::Failure;
use crate::print;

pub(super) fn run(app: &App) -> Result<(), Failure> {
    let settings = Setup::new(app.home.path()).settings()?;
    let mut text = dstack_aws::policy(settings.and_then(|settings| settings.bucket).as_deref());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    print::results(text.as_bytes())
}
