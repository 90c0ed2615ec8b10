//! What a region sells, remembered on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use dstack_core::cloud::CloudError;
use dstack_core::model::{Bytes, LaunchTiming, MicroUsd, MilliCpu, Offering, Purchase, Scope};

use crate::ec2::Ec2;
use crate::failure::Failure;
use crate::images::{self, Family, ImageFacts, WORK_GIB};
use crate::prices::{self, SpotPrices, list_price};
use crate::quotas;
use crate::session::Session;
use crate::types::{self, TypeRow};

/// Form of the file; another one is not read.
const FORM: u32 = 1;
/// How long types, zones and images are believed.
const TYPES_AGE: Duration = Duration::from_secs(24 * 3_600);
/// How long spot prices are believed.
const SPOT_AGE: Duration = Duration::from_secs(600);
/// Longest distance of a name that was meant.
const NEAR: usize = 3;
/// Most names that are proposed.
const NEAR_MOST: usize = 5;

/// What is remembered of a region of an account.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
struct Remembered {
    form: u32,
    types_micros: i64,
    types: Vec<TypeRow>,
    images: BTreeMap<String, ImageFacts>,
    spot_micros: i64,
    spot: SpotPrices,
}

fn is_fresh(taken_micros: i64, now_micros: i64, age: Duration) -> bool {
    // A clock that was set back makes it too new: then it is not believed either.
    let age_micros = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    (0..age_micros).contains(&now_micros.saturating_sub(taken_micros))
}

/// Names of offered types that may have been meant, the nearest first.
pub fn near_matches(offerings: &[Offering], name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let mut names: Vec<(usize, &str)> = offerings
        .iter()
        .map(|offering| (strsim::damerau_levenshtein(&offering.instance_type, &name), offering.instance_type.as_str()))
        .filter(|(distance, _)| *distance <= NEAR)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().take(NEAR_MOST).map(|(_, name)| name.to_owned()).collect()
}

impl Ec2 {
    /// Names of types of a region that may have been meant, the nearest first.
    ///
    /// # Errors
    /// As the catalogue.
    pub async fn near_matches(&self, region: &str, name: &str) -> Result<Vec<String>, CloudError> {
        let offerings = self.offerings(region).await.map_err(Failure::into_cloud)?;
        Ok(near_matches(&offerings, name))
    }

    /// How long ago what is remembered of a region's types was asked for; nothing if nothing is.
    ///
    /// # Errors
    /// When it is not known whose the credentials are.
    pub async fn catalogue_age(&self, region: &str) -> Result<Option<Duration>, CloudError> {
        let session = self.sessions.of_region(region).await.map_err(Failure::into_cloud)?;
        let now = self.clock.wall_micros();
        let age = self.recall(&session.scope).map(|known| now.saturating_sub(known.types_micros));
        Ok(age.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))))
    }

    /// Forgets what is remembered of all regions and accounts, so that it is asked for anew.
    pub fn forget_catalogue(&self) {
        let Ok(entries) = fs::read_dir(&self.cache) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("aws-") && entry.path().extension().is_some_and(|end| end == "json") {
                // One that cannot be removed is too old soon.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    pub(crate) async fn offerings(&self, region: &str) -> Result<Vec<Offering>, Failure> {
        let session = self.sessions.of_region(region).await?;
        let now = self.clock.wall_micros();
        let mut known = self.recall(&session.scope).unwrap_or_default();
        let mut is_new = false;
        if known.types.is_empty() || !is_fresh(known.types_micros, now, TYPES_AGE) {
            let images = futures::future::try_join_all(Family::ALL.map(|family| images::newest(&session, family)));
            let (types, images) = futures::future::try_join(types::list(&session), images).await?;
            let named = Family::ALL.iter().map(|family| format!("{family:?}")).zip(images);
            known.images = named.filter_map(|(family, image)| Some((family, image?))).collect();
            known.types = types;
            known.types_micros = now;
            is_new = true;
        }
        if known.spot.is_empty() || !is_fresh(known.spot_micros, now, SPOT_AGE) {
            // Prices are for comparing; without them spot is sold all the same.
            match prices::spot(&session, now / 1_000_000, &[]).await {
                Ok(spot) => (known.spot, known.spot_micros, is_new) = (spot, now, true),
                Err(failure) => tracing::warn!(%failure, region, "spot prices are not known"),
            }
        }
        if is_new {
            self.remember(&session.scope, &mut known);
        }
        Ok(offerings(&session, &known))
    }

    /// The zones of what is remembered of a region.
    pub(crate) fn zones(&self, scope: &Scope) -> BTreeSet<String> {
        self.recall(scope).into_iter().flat_map(|known| known.types).flat_map(|row| row.zones).collect()
    }

    fn file(&self, scope: &Scope) -> PathBuf {
        self.cache.join(format!("aws-{}-{}.json", scope.account, scope.region))
    }

    fn recall(&self, scope: &Scope) -> Option<Remembered> {
        let known: Remembered = serde_json::from_slice(&fs::read(self.file(scope)).ok()?).ok()?;
        (known.form == FORM).then_some(known)
    }

    fn remember(&self, scope: &Scope, known: &mut Remembered) {
        known.form = FORM;
        let path = self.file(scope);
        let write = || -> std::io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.cache)?;
            let new = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(known)?)?;
            fs::rename(&new, &path)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, path = %path.display(), "the catalogue is not remembered");
        }
    }
}

fn offerings(session: &Session, known: &Remembered) -> Vec<Offering> {
    let mut offerings = Vec::with_capacity(2 * known.types.len());
    for row in &known.types {
        let image = known.images.get(&format!("{:?}", row.family()));
        if row.has_on_demand {
            let price = list_price(&session.scope.region, &row.name);
            offerings.push(offering(&session.scope, row, image, Purchase::OnDemand, price, row.zones.clone()));
        }
        if row.has_spot {
            let prices = known.spot.get(&row.name);
            let price = |zone: &String| prices.and_then(|prices| prices.get(zone)).copied();
            let mut zones = row.zones.clone();
            zones.sort_by_key(|zone| (price(zone).unwrap_or(u64::MAX), zone.clone()));
            // It never costs more than on demand, so where no price is known that is its place in the order.
            let lowest = zones.iter().filter_map(price).min().map(MicroUsd);
            let lowest = lowest.or_else(|| list_price(&session.scope.region, &row.name));
            offerings.push(offering(&session.scope, row, image, Purchase::Spot, lowest, zones));
        }
    }
    offerings
}

fn offering(
    scope: &Scope,
    row: &TypeRow,
    image: Option<&ImageFacts>,
    purchase: Purchase,
    price: Option<MicroUsd>,
    zones: Vec<String>,
) -> Offering {
    Offering {
        scope: scope.clone(),
        instance_type: row.name.clone(),
        purchase,
        cpu: MilliCpu(row.vcpus * 1_000),
        memory: Bytes::from_mib(row.memory_mib),
        disk: Bytes::from_gib(u64::try_from(WORK_GIB).unwrap_or_default()),
        gpus: row.gpus.clone(),
        arch: row.arch.clone(),
        zones,
        price,
        image: image.map(|image| image.id.clone()).unwrap_or_default(),
        details: image.map(ImageFacts::details).unwrap_or_default(),
        quota: quotas::class(&row.name).map(str::to_owned),
        pooled: false,
        timing: LaunchTiming::CLOUD,
    }
}
