//! What every [`SecretSource`] holds to. [`secret_laws!`](crate::secret_laws) makes a test of each law.

use futures::future::BoxFuture;

use super::{SecretError, SecretSource};

/// A law as a value.
pub type Law = for<'a> fn(&'a dyn SecretSource) -> BoxFuture<'a, ()>;

/// What the source of each law's test holds.
pub const SECRETS: &[(&str, &str)] = &[
    ("TOKEN", "hunter2"),
    ("EMPTY", ""),
    ("_odd1", "say \"hi\" \\ it's $HOME `id`\nsecond ; line\n\tä € 🚀"),
    ("token", "another: letter case counts"),
];

/// Makes one test of each law. The argument is a `fn(&[(&str, &str)], Law)` that drives a law on a source of these secrets.
#[macro_export]
macro_rules! secret_laws {
    ($drive:path) => {
        $crate::secret_laws!($drive; values_come_back_as_they_were, a_missing_one_is_named, no_value_shows_in_debug_output);
    };
    ($drive:path; $($law:ident),* $(,)?) => {
        $(
            #[test]
            fn $law() {
                $drive($crate::secret::laws::SECRETS, |source| ::std::boxed::Box::pin($crate::secret::laws::$law(source)));
            }
        )*
    };
}

/// Each name has its own value, byte for byte.
pub async fn values_come_back_as_they_were(source: &dyn SecretSource) {
    for (name, value) in SECRETS {
        assert_eq!(source.get(name).await.expect("it is there").expose(), *value);
    }
}

/// A name without a value is an answer that says which name.
pub async fn a_missing_one_is_named(source: &dyn SecretSource) {
    for name in ["ABSENT", "Token", "TOKEN ", ""] {
        assert_eq!(source.get(name).await.err(), Some(SecretError::Missing(name.to_owned())));
    }
}

/// Whoever prints a secret by mistake prints nothing of it.
pub async fn no_value_shows_in_debug_output(source: &dyn SecretSource) {
    let secret = source.get("TOKEN").await.expect("it is there");
    assert!(!format!("{secret:?} {secret:#?}").contains("hunter"));
}
