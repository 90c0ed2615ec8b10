//! Looks at scopes, and announcements.

use std::collections::BTreeSet;

use super::outcome::Outcome;
use crate::clock::Boot;
use crate::cloud::{Absence, CloudError, Known, Look};
use crate::controller::ports::Provider;
use crate::model::{At, LogId, Observation, RuleKey, Scope};
use crate::planted::{self, Bug};

pub(in crate::controller) async fn look(
    provider: Provider,
    scope: Scope,
    log: LogId,
    known: Vec<Known>,
    began: (At, Boot),
) -> Outcome {
    // Keys that were changed to another account would list that account: complete, empty, and no evidence.
    match provider.cloud.scope(&scope.region).await {
        Ok(current) if current == scope => {}
        Ok(current) if planted::is(Bug::OtherAccountsLook) => {
            return look_at(&provider, &current, log, &known, began).await;
        }
        Ok(current) => return Outcome::Failed(format!("the account is {current} now, not {scope}")),
        Err(error) => return failed(error),
    }
    look_at(&provider, &scope, log, &known, began).await
}

async fn look_at(provider: &Provider, scope: &Scope, log: LogId, known: &[Known], began: (At, Boot)) -> Outcome {
    match provider.cloud.look(scope, log, known).await {
        Ok(look) => {
            if planted::is(Bug::StrangerEnded) {
                let strangers = look.machines.iter().filter(|seen| seen.token.is_none()).map(|seen| seen.id.clone());
                provider.cloud.terminate(scope, &strangers.collect::<Vec<_>>()).await;
            }
            Outcome::Looked { began, look }
        }
        Err(_) if planted::is(Bug::FailedLookCounts) => {
            let absent = known.iter().map(|it| Absence(it.token.clone())).collect();
            Outcome::Looked { began, look: Look { machines: Vec::new(), absent } }
        }
        Err(error) => failed(error),
    }
}

fn failed(error: CloudError) -> Outcome {
    match error {
        CloudError::Credentials(why) => Outcome::Unaccepted(why),
        other => Outcome::Failed(other.to_string()),
    }
}

pub(in crate::controller) async fn notice(provider: Provider) -> Outcome {
    Outcome::Noticed(provider.cloud.notice().await)
}

/// The catalogue's prices of these rules.
pub(in crate::controller) async fn prices(
    provider: Provider,
    scope: Scope,
    rules: BTreeSet<RuleKey>,
    at: At,
) -> Outcome {
    match provider.cloud.catalogue(&scope.region).await {
        Ok(mut offerings) => {
            offerings.retain(|offering| rules.contains(&offering.rule_key()));
            Outcome::Saw(vec![Observation::Priced { at, offerings }])
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}
