//! Machines that carry the log's tag and that the log does not know.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::known;
use super::ports::Provider;
use crate::cloud::{CloudError, Known};
use crate::model::reconcile::unknown_machines;
use crate::model::{MachineId, Scope, State};

/// A machine that carries the log's tag, with no runner of the log: the log is an old copy of the one that launched it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stray {
    /// Where it is.
    pub scope: Scope,
    /// The provider's name of it.
    pub machine: MachineId,
}

/// What looks at every scope of the log have shown.
#[derive(Debug, Default)]
pub struct Strays {
    /// Machines that the log does not know.
    pub found: Vec<Stray>,
    /// Scopes that could not be looked at: nothing is known of them.
    pub unseen: Vec<(Scope, CloudError)>,
}

/// Looks at the scopes of all rules and runners for machines that the log does not know.
///
/// Controllers never end one; [`end_stray`] does, for a person who says so.
pub async fn find_strays(providers: &BTreeMap<String, Provider>, state: &State) -> Strays {
    let rules = state.rules().values().map(|rule| &rule.offering.scope);
    let runners = state.runners().values().map(|runner| &runner.request.scope);
    let scopes: BTreeSet<&Scope> = rules.chain(runners).collect();
    let mut strays = Strays::default();
    let Some(log) = state.log() else { return strays };
    for scope in scopes {
        let Some(provider) = providers.get(&scope.provider) else {
            let why = format!("this program has no provider {}", scope.provider);
            strays.unseen.push((scope.clone(), CloudError::Invalid(why)));
            continue;
        };
        // Nothing is decided on this look: it fences no launch.
        let known: Vec<Known> = known(state, scope).into_iter().map(|it| Known { is_final: false, ..it }).collect();
        match provider.cloud.look(scope, log, &known).await {
            Ok(look) => strays.found.extend(
                unknown_machines(state, scope, &look)
                    .into_iter()
                    .map(|seen| Stray { scope: scope.clone(), machine: seen.id.clone() }),
            ),
            Err(error) => strays.unseen.push((scope.clone(), error)),
        }
    }
    strays
}

/// Asks for the end of a stray machine. Only a later look says that it has ended.
///
/// # Errors
/// What the provider says.
pub async fn end_stray(providers: &BTreeMap<String, Provider>, stray: &Stray) -> Result<(), CloudError> {
    let provider = providers.get(&stray.scope.provider);
    let provider = provider.ok_or_else(|| CloudError::Invalid("this program has no such provider".to_owned()))?;
    let answers = provider.cloud.terminate(&stray.scope, std::slice::from_ref(&stray.machine)).await;
    answers.into_iter().next().unwrap_or_else(|| Err(CloudError::Unknown("no answer for the machine".to_owned())))
}
